#include "core/config/config_reader.h"

#include "core/config/field_walker.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"
#include "tests/support/sample_config.h"

namespace moe::test {

namespace {

SampleConfig read(const std::string& yaml) {
  SampleConfig config;
  read_config(parse_config(yaml, "run.yaml"), config);
  return config;
}

// Returns the message of the UsageError that reading must throw.
std::string problems(const std::string& yaml) {
  try {
    read(yaml);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

// Reads a field's options through a visitor, because code outside a member does not know its struct.
struct NumberOf : FieldWalker {
  std::string wanted;
  double found = -1;
  explicit NumberOf(std::string name) : wanted(std::move(name)) {}
  void take(const char* name, double value) {
    if (wanted == name) found = value;
  }
  void field(const char* name, bool& value, const char*) override { take(name, value); }
  void field(const char* name, int64_t& value, const char*, Range<int64_t>) override {
    take(name, static_cast<double>(value));
  }
  void field(const char* name, double& value, const char*, Range<double>) override { take(name, value); }
  // A schedulable quantity, given as a number.
  void schedule(const char* name, ScheduleField& schedule, const char*) override {
    if (wanted != name || schedule.kind() != "constant") return;
    NumberOf inner("value");
    schedule.options().fields(inner);
    found = inner.found;
  }
};

double number_of(ChoiceBase& choice, const std::string& name) {
  NumberOf visitor(name);
  choice.options().fields(visitor);
  return visitor.found;
}

}  // namespace

TEST_CASE("a configuration may begin with a byte order mark") {
  CHECK(read("\xEF\xBB\xBFsteps: 7\n").steps == 7);
}

TEST_CASE("every type of field is read") {
  SampleConfig c = read(
      "flag: yes\nsteps: 20\nscale: -2.5\nlength: 5Mt\ntext: \"a: b\"\nword: two\nwords: [x]\nnumbers: [3, "
      "4, 5]\n"
      "group: {rate: 0.25}\nrouter: {kind: topk, k: 3}\nbalance: [{kind: z, coefficient: 2}]\n");
  CHECK(c.flag);
  CHECK(c.steps == 20);
  CHECK(c.scale == -2.5);
  CHECK(c.length == Duration::parse("5Mt"));
  CHECK(c.text == "a: b");
  CHECK(c.word == "two");
  CHECK(c.words == std::vector<std::string>{"x"});
  CHECK(c.numbers == std::vector<int64_t>{3, 4, 5});
  CHECK(c.group.rate == 0.25);
  CHECK(number_of(c.router, "k") == 3);
  REQUIRE(c.balance.size() == 1);
  CHECK(c.balance.at(0).kind() == "z");
  CHECK(number_of(c.balance.at(0), "coefficient") == 2);
}

TEST_CASE("keys that are not given keep their defaults") {
  const SampleConfig c = read("{}");
  CHECK(c.steps == 10);
  CHECK(c.words == std::vector<std::string>{"a", "b"});
  CHECK(c.balance.items().size() == 2);
  CHECK(read("").steps == 10);
  CHECK(read("group:\n").group.rate == 0.5);
}

TEST_CASE("whole numbers may be written with exponents and prefixes") {
  CHECK(read("steps: 1e6").steps == 1'000'000);
  CHECK(read("steps: 50k").steps == 50'000);
  CHECK(read("steps: 1.5k").steps == 1'500);
  CHECK(read("steps: 1M").steps == 1'000'000);
  CHECK(read("steps: 1.2e3").steps == 1'200);
  CHECK(read("numbers: [-1e3, 2G]").numbers == std::vector<int64_t>{-1'000, 2'000'000'000});
  for (const char* text : {"1.5", "1e-1", "0.0001k", "k", "5kk", "5 k", "1e30", "nan", "inf", "ten", "0x10", "''",
                           "99999999999999999999"}) {
    INFO(text);
    CHECK_THAT(problems(std::string("steps: ") + text), Catch::Contains("expected a whole number"));
  }
}

TEST_CASE("invalid numbers are refused") {
  for (const char* text : {"much", "1.5x", "nan", "inf", "-inf", "''", "1e999"}) {
    INFO(text);
    CHECK_THAT(problems(std::string("scale: ") + text), Catch::Contains("expected a number"));
  }
}

TEST_CASE("all unknown keys are listed with file, line and the nearest name") {
  const std::string message =
      problems("stepps: 5\ngroup:\n  rat: 1\nrouter:\n  kind: topk\n  q: 1\nbalance:\n- kind: z\n  coeficient: 1\n");
  CHECK_THAT(message, Catch::Contains("run.yaml:1: unknown key 'stepps'; did you mean 'steps'?"));
  CHECK_THAT(message, Catch::Contains("run.yaml:3: unknown key 'group.rat'; did you mean 'rate'?"));
  CHECK_THAT(message, Catch::Contains("run.yaml:6: unknown key 'router.q'"));
  CHECK_THAT(message, Catch::Contains("run.yaml:9: unknown key 'balance.0.coeficient'; did you mean 'coefficient'?"));
  CHECK_THAT(problems("somethingelse: 5"), Catch::Contains("known here") && Catch::Contains("flag, steps"));
}

TEST_CASE("wrong types are all reported with file and line") {
  const std::string message = problems(
      "flag: maybe\nsteps: [1]\nscale: {a: 1}\nlength: soon\nword: three\nwords: {a: 1}\nnumbers: [1, "
      "x]\ngroup: 5\nbalance: z\ntext:\n");
  CHECK_THAT(message, Catch::Contains("run.yaml:1: flag 'maybe': expected true or false"));
  CHECK_THAT(message, Catch::Contains("run.yaml:2: steps: expected a single value"));
  CHECK_THAT(message, Catch::Contains("run.yaml:3: scale: expected a single value"));
  CHECK_THAT(message, Catch::Contains("run.yaml:4: length 'soon'"));
  CHECK_THAT(message, Catch::Contains("run.yaml:5: word 'three': expected one of: one, two"));
  CHECK_THAT(message, Catch::Contains("run.yaml:6: words: expected a list"));
  CHECK_THAT(message, Catch::Contains("run.yaml:7: numbers 'x': expected a whole number"));
  CHECK_THAT(message, Catch::Contains("run.yaml:8: group '5': expected a group of keys"));
  CHECK_THAT(message, Catch::Contains("run.yaml:9: balance 'z': expected a list"));
  CHECK_THAT(message, Catch::Contains("run.yaml:10: text: has no value"));
}

TEST_CASE("ranges are inclusive and named") {
  CHECK(read("steps: 1").steps == 1);
  CHECK(read("steps: 2M").steps == 2'000'000);
  CHECK_THAT(problems("steps: 0"), Catch::Contains("steps '0': must be between 1 and 2000000"));
  CHECK_THAT(problems("steps: 2000001"), Catch::Contains("must be between"));
  CHECK_THAT(problems("scale: -10.5"), Catch::Contains("must be between"));
  CHECK_THAT(problems("group: {rate: 1.01}"), Catch::Contains("group.rate '1.01'"));
}

TEST_CASE("lists are replaced as a whole, and a word is a list of one") {
  CHECK(read("words: x").words == std::vector<std::string>{"x"});
  CHECK(read("words: []").words.empty());
  CHECK(read("numbers: 7").numbers == std::vector<int64_t>{7});
  CHECK(read("balance: []").balance.items().empty());
  CHECK(read("balance: [z, switch, z]").balance.items().size() == 3);
}

TEST_CASE("an index into a list that is not written out is refused") {
  ConfigNode root = parse_config("{}", "run.yaml");
  apply_override(root, "balance.0.coefficient=1");
  SampleConfig config;
  CHECK_THROWS_WITH(read_config(root, config),
                    Catch::Contains("--set balance.0.coefficient=1") && Catch::Contains("expected a list"));
}

TEST_CASE("a choice is a kind, or a map with or without it") {
  SampleConfig plain = read("router: topk"), options = read("router: {k: 5}");
  CHECK(plain.router.kind() == "topk");
  CHECK(number_of(plain.router, "k") == 2);
  CHECK(options.router.kind() == "topk");
  CHECK(number_of(options.router, "k") == 5);
  const std::string unknown = problems("router:\n  kind: topp\n");
  CHECK_THAT(unknown, Catch::Contains("run.yaml:2") && Catch::Contains("'topp'") && Catch::Contains("known: topk") &&
                          Catch::Contains("did you mean 'topk'?"));
  CHECK_THAT(problems("router: nothing"), Catch::Contains("run.yaml:1") && Catch::Contains("known: topk"));
  CHECK_THAT(problems("router: [topk]"), Catch::Contains("expected a kind"));
  CHECK_THAT(problems("router: {kind: [topk]}"), Catch::Contains("expected a kind"));
  CHECK_THAT(problems("balance: [{coefficient: 1}, nothing]"), Catch::Contains("unknown balance loss 'nothing'"));
  CHECK_THAT(problems("router: {k: many}"), Catch::Contains("router.k 'many'"));
}

TEST_CASE("every kind of every family is read with its defaults") {
  for (const Member& member : family<Router>()) CHECK(read("router: " + member.name).router.kind() == member.name);
  for (const Member& member : family<BalanceLoss>()) {
    CHECK(read("balance: [" + member.name + "]").balance.at(0).kind() == member.name);
  }
}

TEST_CASE("a field knows its key, and the file and line that gave its value") {
  const SampleConfig c =
      read("group: {rate: 0.25}\nbalance:\n- z\n- {kind: switch,\n   coefficient: 2}\nfactor: 0.5\n");
  CHECK(c.group.where("rate") == "run.yaml:1: group.rate");
  CHECK(c.where("steps") == "steps");
  CHECK(c.factor.place().to_string() == "run.yaml:6: factor");
  CHECK(c.balance.items()[1].options().where("coefficient") == "run.yaml:5: balance.1.coefficient");
  CHECK(c.balance.items()[0].options().where("coefficient") == "balance.0.coefficient");
  CHECK(c.router.options().key() == "router");
  SampleConfig made;  // set in code: it has only names
  name_fields(made);
  CHECK(made.group.where("rate") == "group.rate");
  CHECK(made.factor.place().to_string() == "factor");
  CHECK(made.balance.items()[1].options().where("scope") == "balance.1.scope");
}

TEST_CASE("a schedule's bare number is checked where it is read, by the key that was written") {
  CHECK(read("factor: 1").factor.kind() == "constant");
  CHECK_THAT(problems("factor: 1.5"), Catch::Contains("run.yaml:1: factor '1.5': must be between 0 and 1"));
  CHECK_THAT(problems("factor: nan"), Catch::Contains("run.yaml:1: factor 'nan': expected a number"));
  CHECK_THAT(problems("factor: fast"), Catch::Contains("run.yaml:1: factor 'fast': unknown schedule"));
  CHECK_THAT(problems("balance: [z, {kind: z, coefficient: -1}]"),
             Catch::Contains("balance.1.coefficient '-1': must be"));
  // The warm-up and values past the end of the run are not known yet.
  CHECK(read("factor: {kind: linear, from: 0, to: 2, over: 300}").factor.kind() == "linear");
}

TEST_CASE("a copied configuration is independent") {
  SampleConfig original = read("router: {k: 3}"), copy = original;
  read_config(parse_config("router: {k: 4}\nbalance: [z]", "x"), copy);
  CHECK(number_of(original.router, "k") == 3);
  CHECK(number_of(copy.router, "k") == 4);
  CHECK(original.balance.size() == 2);
  CHECK(copy.balance.size() == 1);
}

TEST_CASE("true and false have their words in any case, and a list without a value is refused") {
  for (const char* word : {"true", "True", "TRUE", "yes", "On"}) {
    TrainConfig config;
    read_config(parse_config(fmt::format("data: {{augment: {{flip: {}}}}}", word), "run.yaml"), config);
    CHECK(config.data.augment.flip);
  }
  for (const char* key : {"moe.balance", "moe.lifecycle", "moe.layers", "model.arrangement"}) {
    CAPTURE(key);
    ConfigNode root;
    root.kind = ConfigNode::Kind::map;
    apply_override(root, std::string(key) + "=");
    TrainConfig config;
    CHECK_THROWS_WITH(read_config(root, config), Catch::Contains(std::string(key) + ": has no value; write []"));
  }
}

}  // namespace moe::test
