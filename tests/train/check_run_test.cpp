#include "core/train/check_run.h"

#include <algorithm>
#include <initializer_list>
#include <tuple>

#include "comm/self_communicator.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/config/field_walker.h"
#include "core/train/dry_run.h"
#include "tests/support/catch.h"

namespace moe::test {

namespace {

// A run that is planned quickly.
constexpr const char* kTiny =
    "{model: {layers: 1, d_model: 16, attention: {heads: 2}}, moe: {experts: 4, d_ff: 16},"
    " data: {path: synthetic, sequence: 16, synthetic: {states: 8, train_tokens: 2000, validation_tokens: 200}},"
    " train: {steps: 10, batch: 4}, device: cpu}";

TrainConfig tiny_with(const std::string& yaml) {
  ConfigNode root = parse_config(kTiny, "tiny.yaml");
  merge_config(root, parse_config(yaml, "my.yaml"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// The refusal of the configuration by --dry-run; empty if it is accepted.
std::string refusal(const std::string& yaml) {
  try {
    describe_dry_run(tiny_with(yaml), RankCounts{}, 1);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

// A field with a range, as a configuration reaches it.
struct RangedField {
  std::string key;                 // the key that must be named
  std::string before, after;       // YAML before and after its value
  std::vector<std::string> wrong;  // values outside the range
  bool is_schedule = false;
};

// All fields with a range of all members of all families; each family nested in another of its kind once.
class RangedFields : public FieldWalker {
 public:
  using FieldWalker::field;
  std::vector<RangedField> found;

  void field(const char* name, int64_t&, const char*, Range<int64_t> range) override { take(name, range, false); }
  void field(const char* name, double&, const char*, Range<double> range) override { take(name, range, false); }
  void schedule(const char* name, ScheduleField& value, const char*) override { take(name, value.range(), true); }
  void group(const char* name, FieldSet& group, const char*) override {
    enter(fmt::format("{}: {{", name), "}", std::string(name) + ".", group);
  }
  void choice(const char* name, ChoiceBase& choice, const char*) override { members(name, "{", "}", "", choice); }
  void choices(const char* name, ChoiceListBase& choices, const char*) override {
    members(name, "[{", "}]", "0.", choices.example());
  }

 private:
  template <class T>
  void take(const char* name, const Range<T>& range, bool is_schedule) {
    RangedField f{prefix_ + name, before_ + name + ": ", after_, {}, is_schedule};
    if (range.has_min()) f.wrong.push_back(fmt::format("{}", range.min - 1));
    if (range.has_max()) f.wrong.push_back(fmt::format("{}", range.max + (range.max > 1 ? range.max / 2 : 1)));
    if (!f.wrong.empty()) found.push_back(f);
  }
  void enter(const std::string& before, const std::string& after, const std::string& key, FieldSet& set) {
    const auto outer = std::tuple(before_, after_, prefix_);
    before_ += before, after_ = after + after_, prefix_ += key;
    set.fields(*this);
    std::tie(before_, after_, prefix_) = outer;
  }
  void members(const char* name, const char* open, const char* close, const char* index, const ChoiceBase& choice) {
    if (std::count(families_.begin(), families_.end(), choice.family_name()) > 1) return;
    families_.push_back(choice.family_name());
    ChoiceBase member = choice;
    for (const std::string& kind : choice.kinds()) {
      member.select(kind);
      enter(fmt::format("{}: {}kind: {}, ", name, open, kind), close, fmt::format("{}.{}", name, index),
            member.options());
    }
    families_.pop_back();
  }

  std::string before_ = "{", after_ = "}", prefix_;
  std::vector<std::string> families_;
};

}  // namespace

TEST_CASE("a value outside of any field's range is refused by --dry-run with the key that the user wrote") {
  CHECK(refusal("{}").empty());
  TrainConfig config;
  RangedFields fields;
  config.fields(fields);
  CHECK(fields.found.size() > 300);
  for (const RangedField& field : fields.found) {
    for (const std::string& wrong : field.wrong) {
      const std::string yaml = fmt::format("{}{}{}", field.before, wrong, field.after);
      INFO(yaml);
      const std::string what = refusal(yaml);
      CHECK_THAT(what, Catch::Contains("my.yaml:1: " + field.key + " '") && Catch::Contains("must be "));
      if (!field.is_schedule) continue;
      // A schedule that ends at the wrong value is refused once the run's length is known.
      const std::string schedule = fmt::format("{}{{kind: constant, value: {}}}{}", field.before, wrong, field.after);
      INFO(schedule);
      CHECK_THAT(refusal(schedule), Catch::Contains("my.yaml:1: " + field.key) && Catch::Contains("must be "));
    }
  }
}

TEST_CASE("more experts per token than there are is refused with the key that the user wrote") {
  for (const Member& router : family<Router>()) {
    const auto options = router.make_options();
    struct HasK : FieldWalker {
      bool has_k = false;
      void field(const char* name, int64_t&, const char*, Range<int64_t>) override {
        has_k |= name == std::string("k");
      }
      void schedule(const char* name, ScheduleField&, const char*) override { has_k |= name == std::string("k"); }
    } visitor;
    options->fields(visitor);
    if (!visitor.has_k) continue;
    INFO(router.name);
    CHECK_THAT(refusal("{moe: {router: {kind: " + router.name + ", k: 5}}}"),
               Catch::Contains("my.yaml:1: moe.router.k"));
    CHECK_THAT(refusal("{moe: {strategy: {kind: hierarchical, group_router: {kind: " + router.name + ", k: 3}}}}"),
               Catch::Contains("my.yaml:1: moe.strategy.group_router.k"));
  }
  CHECK_THAT(refusal("{moe: {strategy: {kind: change, first: {kind: compete, k: 5}}}}"),
             Catch::Contains("my.yaml:1: moe.strategy.first.k"));
}

TEST_CASE("a router's own number of experts is refused by the router's key, without a word of schedules") {
  const std::string what = refusal("{moe: {experts: 1, router: gshard}}");
  CHECK_THAT(what, Catch::Contains("moe.router: gshard chooses two experts") && !Catch::Contains("schedule"));
}

TEST_CASE("a dry run warns of warm-ups that are longer than the run") {
  for (const char* yaml :
       {"train: {steps: 10, learning_rate: {kind: cosine, warmup: 11}}",
        "{train: {steps: 10}, moe: {balance: [{kind: switch, coefficient: {kind: linear, warmup: 50}}]}}"}) {
    INFO(yaml);
    CHECK_THAT(describe_dry_run(tiny_with(yaml), RankCounts{}, 1),
               Catch::Contains("is longer than the run of 10"));
  }
  CHECK_THAT(describe_dry_run(tiny_with("train: {steps: 10, learning_rate: {kind: cosine, warmup: 10}}"),
                              RankCounts{}, 1),
             !Catch::Contains("is longer than the run"));
}

TEST_CASE("invalid configurations are refused by --dry-run, naming a key") {
  struct Case {
    const char *yaml, *key;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"{optimizer: {weight_decay: 200}}", "optimizer.weight_decay"},
           {"{train: {clip_norm: -1}}", "train.clip_norm"},
           {"{train: {learning_rate: -1}}", "train.learning_rate"},
           {"{train: {learning_rate: {kind: linear, from: 1, to: -1}}}", "train.learning_rate"},
           {"{moe: {alarm: {action: restart}, strategy: hierarchical}}", "moe.alarm.action"},
           {"{moe: {router: hash}, init: {clusters: {tokens: 100}}}", "init.clusters.tokens"},
           {"{init: {clusters: {tokens: 3}}}", "init.clusters.tokens"},
           {"{model: {arrangement: dense}, init: {clusters: {tokens: 100}}}", "init.clusters"},
           {"{init: {reptile: {rounds: 1, domains: 5000}}}", "init.reptile.domains"},
           {"{parallel: {expert: 3}}", "parallel.expert"},
           {"{data: {augment: {shift: 1}}}", "data.augment.shift"},
           {"{model: {attention: {causal: false}}}", "model.attention.causal"},
           {"{model: {attention: {heads: 3}}}", "model.attention.heads"},
           {"{model: {pooling: last}}", "model.pooling"},
           {"{model: {attention: {memory: 8}}}", "model.attention.memory"},
           {"{curriculum: {sampler: order}}", "curriculum.sampler"},
           {"{model: {arrangement: dense}, curriculum: {signals: {router_entropy: 1}}}",
            "curriculum.signals.router_entropy"},
           {"{moe: {lifecycle: [{kind: prune}]}}", "moe.lifecycle.0"},
           {"{moe: {lifecycle: [{kind: grow, at: [50%], factor: 1000}, {kind: restart, below: 0, at: [1]}]}}",
            "moe.lifecycle.1.below"},
           {"{moe: {balance: [z, load]}}", "moe.balance.1"},
           {"{moe: {strategy: {kind: change, then: hierarchical}}}", "moe.strategy.then"},
           {"{moe: {capacity: {kind: bandit, smallest: 3}}}", "moe.capacity.smallest"},
       }) {
    INFO(c.yaml);
    CHECK_THAT(refusal(c.yaml), Catch::Contains(c.key));
  }
}

TEST_CASE("a run needs its source only at its start") {
  for (const char* yaml : {"{init: {from: not/there}}", "{curriculum: {from: not/there, sampler: buckets}}"}) {
    INFO(yaml);
    const TrainConfig config = tiny_with(yaml);
    CHECK_THROWS_AS(describe_dry_run(config, RankCounts{}, 1), CheckpointError);
    const auto task = open_task(config);
    CHECK_NOTHROW(check_run({.config = config, .task = *task, .length = run_length(config, *task), .starts = false}));
  }
}

}  // namespace moe::test
