#include "core/config/config_tree.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace moe::test {

namespace {

using Kind = ConfigNode::Kind;

// "key: value" lines, lists in brackets, which is enough to compare trees.
std::string show(const ConfigNode& node) {
  if (node.kind == Kind::null) return "~";
  if (node.kind == Kind::scalar) return node.scalar;
  std::string result;
  if (node.kind == Kind::list) {
    for (const ConfigNode& item : node.items) result += (result.empty() ? "" : ", ") + show(item);
    return "[" + result + "]";
  }
  for (const auto& [key, value] : node.entries) result += (result.empty() ? "" : ", ") + key + ": " + show(value);
  return "{" + result + "}";
}

std::string merged(const std::string& base, const std::string& over) {
  ConfigNode node = parse_config(base, "base");
  merge_config(node, parse_config(over, "over"));
  return show(node);
}

std::string overridden(const std::string& base, const std::string& assignment) {
  ConfigNode node = parse_config(base, "base");
  apply_override(node, assignment);
  return show(node);
}

// A folder of configuration files that is removed when the test ends.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("moe_config_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_ / "sub");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("values remember their file and line") {
  const ConfigNode node = parse_config("a: 1\nb:\n  c: [2,\n      3]\n", "x.yaml");
  CHECK(show(node) == "{a: 1, b: {c: [2, 3]}}");
  CHECK(node.find("a")->origin == "x.yaml:1");
  CHECK(node.find("b")->origin == "x.yaml:2");
  CHECK(node.find("b")->find("c")->origin == "x.yaml:3");
  CHECK(node.find("b")->find("c")->items[1].origin == "x.yaml:4");
}

TEST_CASE("invalid YAML is refused with its line") {
  CHECK_THROWS_AS(parse_config("a: [1,\n", "x.yaml"), UsageError);
  CHECK_THROWS_WITH(parse_config("a: 1\nb: {c: 2\n", "x.yaml"),
                    Catch::Contains("x.yaml:") && Catch::Contains("not valid YAML"));
  CHECK_THROWS_WITH(parse_config("a: 1\n\tb: 2\n", "x.yaml"), Catch::Contains("x.yaml:2"));
  CHECK_THROWS_WITH(parse_config("a: 1\nb: 2\na: 3\n", "x.yaml"),
                    Catch::Contains("x.yaml:3") && Catch::Contains("'a'") && Catch::Contains("twice"));
  CHECK_THROWS_AS(parse_config("a: {b: 1, b: 2}", "x.yaml"), UsageError);
  CHECK_THROWS_AS(parse_config("[a, b]: 2", "x.yaml"), UsageError);
}

TEST_CASE("a later file wins key by key") {
  CHECK(merged("{a: 1, b: {c: 2, d: 3}}", "{b: {d: 4}, e: 5}") == "{a: 1, b: {c: 2, d: 4}, e: 5}");
  CHECK(merged("{a: [1, 2, 3]}", "{a: [4]}") == "{a: [4]}");
  CHECK(merged("{a: 1}", "{a: [4]}") == "{a: [4]}");
  CHECK(merged("{a: {b: 1}}", "{a: 2}") == "{a: 2}");
}

TEST_CASE("options belong to their kind") {
  CHECK(merged("{r: {kind: x, k: 1, n: 2}}", "{r: {kind: x, k: 3}}") == "{r: {kind: x, k: 3, n: 2}}");
  CHECK(merged("{r: {kind: x, k: 1}}", "{r: {k: 3}}") == "{r: {kind: x, k: 3}}");
  CHECK(merged("{r: {kind: x, k: 1}}", "{r: {kind: y}}") == "{r: {kind: y}}");
  CHECK(merged("{r: {kind: x, k: 1}}", "{r: y}") == "{r: y}");
  CHECK(merged("{r: x}", "{r: {k: 1}}") == "{r: {kind: x, k: 1}}");
  CHECK(merged("{r: x}", "{r: {kind: y, k: 1}}") == "{r: {kind: y, k: 1}}");
  CHECK(merged("{r: {k: 1}}", "{r: {kind: y}}") == "{r: {k: 1, kind: y}}");
}

TEST_CASE("a single value is overridden from the command line") {
  CHECK(overridden("{a: {b: 1, c: 2}}", "a.b=3") == "{a: {b: 3, c: 2}}");
  CHECK(overridden("{}", "a.b.c=3") == "{a: {b: {c: 3}}}");
  CHECK(overridden("{a: 1}", "b=[1, {kind: x}]") == "{a: 1, b: [1, {kind: x}]}");
  CHECK(overridden("{a: 1}", "a=") == "{a: ~}");
  CHECK(overridden("{r: x}", "r.k=2") == "{r: {kind: x, k: 2}}");
  CHECK(overridden("{r: {kind: x, k: 1}}", "r.kind=x") == "{r: {kind: x, k: 1}}");
  CHECK(overridden("{a: x=y}", "a=b=c") == "{a: b=c}");
}

TEST_CASE("an override reaches into lists by index") {
  CHECK(overridden("{a: [1, 2, 3]}", "a.1=5") == "{a: [1, 5, 3]}");
  CHECK(overridden("{a: [{kind: x, k: 1}, y]}", "a.0.k=5") == "{a: [{kind: x, k: 5}, y]}");
  CHECK(overridden("{a: [{kind: x, k: 1}, y]}", "a.1.k=5") == "{a: [{kind: x, k: 1}, {kind: y, k: 5}]}");
  CHECK_THROWS_WITH(overridden("{a: [1, 2]}", "a.2=5"), Catch::Contains("2 entries"));
  CHECK_THROWS_AS(overridden("{a: [1, 2]}", "a.99999999999999999999999=5"), UsageError);
}

TEST_CASE("another kind from the command line drops the options of the old one") {
  CHECK(overridden("{r: {kind: x, k: 1}}", "r.kind=y") == "{r: {kind: y}}");
}

TEST_CASE("an invalid override is refused") {
  for (const char* text : {"a", "=1", "", "a=[1", "a={"}) {
    INFO(text);
    CHECK_THROWS_AS(overridden("{a: 1}", text), UsageError);
  }
}

TEST_CASE("a file includes others, which it overrides") {
  const Folder folder;
  folder.write("base.yaml", "a: 1\nb: 2\n");
  folder.write("sub/more.yaml", "include: ../base.yaml\nb: 3\nc: 3\n");
  const std::string top = folder.write("top.yaml", "c: 4\ninclude: [base.yaml, sub/more.yaml]\n");
  const ConfigNode node = read_config_file(top);
  CHECK(show(node) == "{a: 1, b: 3, c: 4}");
  CHECK(node.find("b")->origin == (std::filesystem::path(folder.path("sub/more.yaml"))).string() + ":2");
}

TEST_CASE("a file that cannot be read is named") {
  const Folder folder;
  const std::string itself = folder.write("itself.yaml", "include: itself.yaml\n");
  CHECK_THROWS_WITH(read_config_file(itself), Catch::Contains("includes itself"));
  CHECK_THROWS_WITH(read_config_file(folder.path("none.yaml")), Catch::Contains("none.yaml"));
  CHECK_THROWS_WITH(read_config_file(folder.write("far.yaml", "include: gone.yaml")), Catch::Contains("gone.yaml"));
  CHECK_THROWS_WITH(read_config_file(folder.write("list.yaml", "[1, 2]")), Catch::Contains("list.yaml"));
  CHECK_THROWS_WITH(read_config_file(folder.write("map.yaml", "include: {a: 1}")), Catch::Contains("map.yaml:1"));
  CHECK_THROWS_WITH(read_config_file(folder.write("deep.yaml", "a: 1\ninclude: [[x.yaml]]")),
                    Catch::Contains("deep.yaml:2"));
  CHECK_THROWS_AS(read_config_file(folder.path("sub")), UsageError);
  CHECK_THROWS_WITH(read_config_file(folder.write("empty.yaml", "# nothing\n")), Catch::Contains("empty.yaml"));
}

TEST_CASE("configurations that could fill memory or stack are refused") {
  CHECK_THROWS_WITH(parse_config("a: &a [*a]", "x"), Catch::Contains("an alias of itself"));
  CHECK_THROWS_WITH(parse_config("a: &a {b: *a}", "x"), Catch::Contains("an alias of itself"));
  CHECK_THROWS_WITH(parse_config("a: &a {<<: *a}", "x"), Catch::Contains("an alias of itself"));
  std::string aliases = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
  for (int i = 1; i < 20; ++i) {
    aliases += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  CHECK_THROWS_WITH(parse_config(aliases, "x"), Catch::Contains("more than 20000 values"));
  std::string lines;
  for (int i = 0; i < 60'000; ++i) lines += fmt::format("k{}: 1\n", i);
  CHECK_THROWS_WITH(parse_config(lines, "x"), Catch::Contains("more than 20000 values"));
  CHECK_THROWS_AS(parse_config(std::string(100'000, '['), "x"), UsageError);
  CHECK_THROWS_WITH(parse_config(std::string(2 << 20, '#'), "x"), Catch::Contains("longer than"));
  Folder folder;
  CHECK_THROWS_WITH(read_config_file("/dev/zero"), Catch::Contains("longer than"));
  CHECK_THROWS_WITH(read_config_file(folder.write("zero.yaml", "include: /dev/zero")), Catch::Contains("not a file"));
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_config_file(folder.write("pipe.yaml", "include: pipe")), Catch::Contains("not a file"));
}

TEST_CASE("several documents, an empty file and text that is not UTF-8 are refused") {
  CHECK_THROWS_WITH(parse_config("a: 1\n---\nb: 2\n", "x"),
                    Catch::Contains("x:2: more text") && Catch::Contains("expected one document"));
  // Of these the library reads nothing, and finds another empty document for ever.
  for (const char* text : {",", "a: 1\n---\n,", "{a: 1}\n,\n"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_config(text, "x"), UsageError);
  }
  CHECK(show(parse_config("---\na: 1\n...\n", "x")) == "{a: 1}");
  CHECK_THROWS_WITH(parse_config("a: \xff", "x"), Catch::Contains("not UTF-8"));
  Folder folder;
  CHECK_THROWS_WITH(read_config_file(folder.write("empty.yaml", "")), Catch::Contains("the file is empty"));
  CHECK_THROWS_WITH(read_config_file(folder.path("none.yaml")), Catch::Contains("cannot read"));
}

TEST_CASE("<< merges maps, whose keys give way to the map's own") {
  CHECK(show(parse_config("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a, z: 4}", "x")) ==
        "{a: {x: 1, y: 2}, b: {y: 3, z: 4, x: 1}}");
  CHECK(show(parse_config("a: {<<: [{x: 1}, {x: 2, y: 3}]}", "x")) == "{a: {x: 1, y: 3}}");
  CHECK_THROWS_WITH(parse_config("a: {<<: 3}", "x"), Catch::Contains("<< takes a map"));
  CHECK_THROWS_WITH(parse_config("a: {<<: {x: 1}, <<: {y: 1}}", "x"), Catch::Contains("given twice"));
}

TEST_CASE("!!binary is bytes, and --set takes any bytes") {
  CHECK(show(parse_config("a: !!binary Yf8=", "x")) == "{a: a\xff}");
  CHECK_THROWS_WITH(parse_config("a: !!binary '?'", "x"), Catch::Contains("base64"));
  CHECK(overridden("a: 1", "a=x\xff: [y") == "{a: x\xff: [y}");
}

}  // namespace moe::test
