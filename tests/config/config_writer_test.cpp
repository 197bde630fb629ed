#include "core/config/config_writer.h"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/sample_config.h"

namespace moe::test {

namespace {

// Names of all fields below a configuration, as paths.
struct Names : FieldVisitor {
  std::string prefix;
  std::vector<std::string>& found;
  std::set<std::string> open{};  // families whose members are being visited
  Names(std::string path, std::vector<std::string>& names) : prefix(std::move(path)), found(names) {}
  void take(const char* name) { found.push_back(prefix + name); }
  void field(const char* name, bool&, const char*) override { take(name); }
  void field(const char* name, int64_t&, const char*, Range<int64_t>) override { take(name); }
  void field(const char* name, double&, const char*, Range<double>) override { take(name); }
  void field(const char* name, Duration&, const char*) override { take(name); }
  void field(const char* name, std::string&, const char*) override { take(name); }
  void field(const char* name, std::string&, const char*, std::vector<std::string>) override { take(name); }
  void field(const char* name, std::vector<std::string>&, const char*) override { take(name); }
  void field(const char* name, std::vector<int64_t>&, const char*) override { take(name); }
  void field(const char* name, std::vector<double>&, const char*) override { take(name); }
  void group(const char* name, FieldSet& group, const char*) override {
    Names inner(prefix + name + ".", found);
    inner.open = open;
    group.fields(inner);
  }
  void choice(const char* name, ChoiceBase& choice, const char*) override {
    take(name);
    const std::string selected = choice.kind();
    if (!open.insert(choice.family_name()).second) return;  // a member's own family
    for (const std::string& kind : choice.kinds()) {
      choice.select(kind);
      // A family that many keys choose from is described once, apart from them.
      Names inner(choice.number_shorthand().kind ? "" : prefix + name + ".", found);
      inner.open = open;
      choice.options().fields(inner);
    }
    choice.select(selected);
    open.erase(choice.family_name());
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    choice(name, *choices.example(), help);
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
  model =
      configured<ModelConfig>("{arrangement: [dense, moe], layers: 2, attention: {qk_norm: true}, norm_eps: 1e-12}");
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

TEST_CASE("the markdown and the schema mention every field of every member") {
  SampleConfig sample;
  MoEConfig experts;
  ModelConfig model;
  for (FieldSet* config : std::initializer_list<FieldSet*>{&sample, &experts, &model}) {
    std::vector<std::string> names;
    Names visitor("", names);
    config->fields(visitor);
    CHECK(names.size() >= 8);
    const std::string before = write_yaml(*config, false), markdown = write_markdown(*config);
    const auto schema = nlohmann::json::parse(write_json_schema(*config));
    CHECK(write_yaml(*config, false) == before);  // walking through the members changes nothing
    const std::string flat = schema.dump();
    for (const std::string& name : names) {
      INFO(name);
      CHECK_THAT(markdown, Catch::Contains("`" + name + "`"));
      CHECK_THAT(flat, Catch::Contains("\"" + name.substr(name.rfind('.') + 1) + "\":"));
    }
  }
}

TEST_CASE("the JSON schema says types, ranges, defaults and kinds") {
  SampleConfig config;
  const auto schema = nlohmann::json::parse(write_json_schema(config));
  const auto& fields = schema.at("properties");
  CHECK(schema.at("additionalProperties") == false);
  CHECK(fields.at("flag").at("type") == "boolean");
  CHECK(fields.at("steps").at("type") == "integer");
  CHECK(fields.at("steps").at("minimum") == 1);
  CHECK(fields.at("steps").at("maximum") == 2'000'000);
  CHECK(fields.at("scale").at("default") == 1.5);
  CHECK(fields.at("word").at("enum") == nlohmann::json({"one", "two"}));
  CHECK(fields.at("numbers").at("items").at("type") == "integer");
  CHECK(fields.at("group").at("properties").at("rate").at("maximum") == 1);
  const auto& router = fields.at("router").at("anyOf");
  CHECK(router.at(0).at("enum").at(0) == "topk");
  CHECK(router.at(1).at("properties").at("kind").at("const") == "topk");
  CHECK(router.at(1).at("properties").contains("k"));
  CHECK(fields.at("balance").at("items").at("anyOf").size() == 1 + family<BalanceLoss>().names().size());
}

}  // namespace moe::test
