#include "core/config/config_writer.h"

#include <functional>
#include <initializer_list>
#include <set>

#include "core/base/json_text.h"
#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/sample_config.h"

namespace moe::test {

namespace {

// Collects the names of all fields below a configuration, as paths.
struct Names : FieldVisitor {
  std::string prefix;
  std::vector<std::string>& found;
  std::set<std::string>& described;  // families
  std::vector<std::function<void()>> pending{};
  Names(std::string path, std::vector<std::string>& names, std::set<std::string>& families)
      : prefix(std::move(path)), found(names), described(families) {}
  void take(const char* name) { found.push_back(prefix + name); }
  void field(const char* name, bool&, const char*) override { take(name); }
  void field(const char* name, int64_t&, const char*, Range<int64_t>) override { take(name); }
  void field(const char* name, double&, const char*, Range<double>) override { take(name); }
  void field(const char* name, Duration&, const char*, Lengths) override { take(name); }
  void field(const char* name, std::string&, const char*) override { take(name); }
  void field(const char* name, std::string&, const char*, std::vector<std::string>) override { take(name); }
  void field(const char* name, std::vector<std::string>&, const char*) override { take(name); }
  void field(const char* name, std::vector<int64_t>&, const char*) override { take(name); }
  void field(const char* name, std::vector<double>&, const char*) override { take(name); }
  void overrides(const char* name, LayerOverrides&, const char*) override { take(name); }
  void group(const char* name, FieldSet& group, const char*) override {
    Names inner(prefix + name + ".", found, described);
    inner.visit(group);
  }
  void visit(FieldSet& set) {
    set.fields(*this);
    for (const auto& visit_family : pending) visit_family();
  }
  void choice(const char* name, ChoiceBase& choice, const char*) override {
    take(name);
    members(prefix + name + ".", choice);
  }
  void schedule(const char* name, ScheduleField& schedule, const char*) override {
    take(name);
    members("", schedule);
  }
  // A family that several keys choose from is described once, at the outermost key.
  void members(const std::string& path, const ChoiceBase& choice) {
    if (!described.insert(choice.family_name()).second) return;
    pending.push_back([this, path, choice] { visit_members(path, choice); });
  }
  void visit_members(const std::string& path, ChoiceBase member) {
    for (const std::string& kind : member.kinds()) {
      member.select(kind);
      Names inner(path, found, described);
      inner.visit(member.options());
    }
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    ChoiceBase example = choices.example();
    choice(name, example, help);
  }
};

template <class Config>
void check_round_trip(Config& config) {
  for (const bool with_help : {false, true}) {
    const std::string text = write_yaml(config, with_help);
    INFO(text);
    Config again;
    REQUIRE_NOTHROW(read_config(parse_config(text, "written"), again));
    CHECK(write_yaml(again, with_help) == text);
  }
}

template <class Config>
Config configured(const std::string& yaml) {
  Config config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

}  // namespace

TEST_CASE("a written configuration reads back as it was") {
  SampleConfig sample;
  MoEConfig experts;
  ModelConfig model;
  check_round_trip(sample);
  check_round_trip(experts);
  check_round_trip(model);

  sample = configured<SampleConfig>(
      "{flag: true, steps: 1e6, scale: 1e-7, length: 3e, words: [], numbers: [-5], group: {rate: 0.1},"
      " router: {k: 7, softmax: all}, balance: [z, {kind: switch, coefficient: 0.3, scope: rank}, z]}");
  check_round_trip(sample);
  experts = configured<MoEConfig>("{experts: 3, balance: [], router: {k: 1, softmax: all, renormalise: false}}");
  check_round_trip(experts);
  model = configured<ModelConfig>(
      "{arrangement: [dense, moe], layers: 2, attention: {qk_norm: true}, bias: {attention: qkv}, norm_eps: 1e-12}");
  check_round_trip(model);
}

TEST_CASE("every kind of every family survives the round trip") {
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      MoEConfig config;
      config.router.select(router.name);
      config.strategy.select(strategy.name);
      config.balance.clear();
      for (const Member& loss : family<BalanceLoss>()) config.balance.append().select(loss.name);
      check_round_trip(config);
    }
  }
}

TEST_CASE("any text survives the round trip") {
  for (const char* text :
       {"",     " ",    "a b", "yes", "No", "null", "Null",      "NULL",  "~",   "1e5",         "0x1",   "# no comment",
        "a: b", "a #b", "[x]", "{x",  "'",  "\"",   "\\",        "-",     "- a", "line\nbreak", "tab\t", "é",
        "true", "TRUE", "&x",  "*x",  "!x", "%x",   "a/b-c_d.e", "/path", "@",   "a,b",         "<<"}) {
    SampleConfig config;
    config.text = text;
    config.words = {text, "b"};
    for (const bool with_help : {false, true}) {
      const std::string yaml = write_yaml(config, with_help);
      INFO(yaml);
      SampleConfig again;
      REQUIRE_NOTHROW(read_config(parse_config(yaml, "written"), again));
      CHECK(again.text == text);
      CHECK(again.words == config.words);
    }
  }
}

TEST_CASE("numbers are written without loss") {
  for (const double number : {0.1, 1.0 / 3, 1e-7, 123456789.123, 1e8, -0.0, 3e-4}) {
    SampleConfig config;
    config.scale = number;
    CHECK(configured<SampleConfig>(write_yaml(config, false)).scale == number);
  }
}

TEST_CASE("YAML with help explains every field") {
  SampleConfig config;
  const std::string text = write_yaml(config, true);
  for (const char* help :
       {"# a flag", "# a count", "# a length", "# some words", "# A group.", "# a rate", "# Losses."}) {
    CHECK_THAT(text, Catch::Contains(help));
  }
}

TEST_CASE("the Markdown reference and the schema mention every field of every member") {
  SampleConfig sample;
  MoEConfig experts;
  ModelConfig model;
  for (FieldSet* config : std::initializer_list<FieldSet*>{&sample, &experts, &model}) {
    std::vector<std::string> names;
    std::set<std::string> families;
    Names visitor("", names, families);
    visitor.visit(*config);
    CHECK(names.size() >= 8);
    const std::string before = write_yaml(*config, false), markdown = write_markdown(*config);
    const auto schema = parse_json(write_json_schema(*config));
    CHECK(write_yaml(*config, false) == before);  // visiting the members changes nothing
    const std::string flat = json_text(schema);
    for (const std::string& name : names) {
      INFO(name);
      CHECK_THAT(markdown, Catch::Contains("`" + name + "`"));
      CHECK_THAT(flat, Catch::Contains("\"" + name.substr(name.rfind('.') + 1) + "\":"));
    }
  }
}

TEST_CASE("the JSON schema accepts a switch in place of a group that has one") {
  ModelConfig config;
  const auto fields = parse_json(write_json_schema(config)).at("properties");
  const auto& any = fields.at("bias").at("anyOf");
  CHECK(any.at(0).at("type") == "boolean");
  CHECK(any.at(1).at("properties").at("attention").at("enum").size() == 3);
  CHECK_FALSE(config.bias.head);  // writing the schema changes nothing
  CHECK(fields.at("attention").at("type") == "object");
}

TEST_CASE("the JSON schema contains types, ranges, defaults and kinds") {
  SampleConfig config;
  const auto schema = parse_json(write_json_schema(config));
  const auto& fields = schema.at("properties");
  CHECK(schema.at("additionalProperties") == false);
  CHECK(fields.at("flag").at("type") == "boolean");
  CHECK(fields.at("steps").at("type") == "integer");
  CHECK(fields.at("steps").at("minimum") == 1);
  CHECK(fields.at("steps").at("maximum") == 2'000'000);
  CHECK(fields.at("scale").at("default") == 1.5);
  CHECK(fields.at("word").at("enum") == Json({"one", "two"}));
  CHECK(fields.at("numbers").at("items").at("type") == "integer");
  CHECK(fields.at("group").at("properties").at("rate").at("maximum") == 1);
  CHECK(fields.at("factor").at("anyOf").at(0).at("maximum") == 1);
  CHECK(fields.at("factor").at("anyOf").at(1).at("$ref") == "#/$defs/schedule");
  CHECK(fields.at("router").at("$ref") == "#/$defs/router");
  const auto& router = schema.at("$defs").at("router").at("anyOf");
  CHECK(router.at(0).at("enum").at(0) == "topk");
  CHECK(router.at(1).at("properties").at("kind").at("const") == "topk");
  CHECK(router.at(1).at("properties").contains("k"));
  CHECK(fields.at("balance").at("items").at("$ref") == "#/$defs/balance_loss");
  CHECK(schema.at("$defs").at("balance_loss").at("anyOf").size() == 1 + family<BalanceLoss>().names().size());
  const auto capacity = parse_json(write_json_schema(*std::make_unique<MoEConfig>())).at("properties");
  CHECK(capacity.at("capacity").at("anyOf").at(0).at("maximum") == 1024);  // a bare number is a factor
}

TEST_CASE("the reference contains every range, and shared fields only once") {
  MoEConfig config;
  const std::string text = write_markdown(config);
  CHECK_THAT(text, Catch::Contains("| `dropout` | number or schedule, 0 to 0.99 | `0` |"));
  CHECK_THAT(text, Catch::Contains("| `router.k` | number or schedule, 1 to `moe.experts` | `2` |"));
  const auto count = [&](const std::string& what) {
    size_t n = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  CHECK(count("`router.input_dropout`") == 1);
  CHECK_THAT(text, Catch::Contains("a router, like `router`"));  // of groups
}

TEST_CASE("the help of one key contains its type, range, default and kinds") {
  MoEConfig config;
  const std::string k = describe_key(config, "router.k");
  CHECK_THAT(k, Catch::Contains("router.k: number or schedule, 1 to `moe.experts`") &&
                    Catch::Contains("of router topk; router noisy_topk") && Catch::Contains("default 2"));
  CHECK_THAT(describe_key(config, "balance.3.coefficient"), Catch::Contains(", 0 to 1000000"));
  CHECK_THAT(describe_key(config, "strategy.first.probability"), Catch::Contains("strategy change, strategy compete"));
  CHECK_THAT(describe_key(config, "router"), Catch::Contains("one of: topk") && Catch::Contains("expert_choice"));
  CHECK_THAT(describe_key(config, "alarm"), Catch::Contains("group of keys"));
  CHECK_THAT(describe_key(config, "dropout.warmup"), Catch::Contains("length"));
  CHECK_THROWS_WITH(describe_key(config, "router.kk"), Catch::Contains("no key 'router.kk'; did you mean 'router.k'?"));
}

}  // namespace moe::test
