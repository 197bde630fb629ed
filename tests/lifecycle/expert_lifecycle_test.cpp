// Events of moe.lifecycle: when they happen, and refusals before a run starts.
#include "core/lifecycle/expert_lifecycle.h"

#include <cmath>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/lifecycle/lifecycle_record.h"
#include "tests/lifecycle/changed_run.h"
#include "tests/support/catch.h"

using namespace moe;
using namespace moe::test;

static constexpr RunLength kRun{100, 32, 50};

static std::vector<int64_t> steps_of(ExpertLifecycle& lifecycle, TinyRun& run, int64_t until, double open = 1) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step < until; ++step) {
    lifecycle.happen(
        step, open, [&]() -> TrainingState& { return run.state; },
        [&](const ExpertChange&) {
          steps.push_back(step);
          return true;
        });
  }
  return steps;
}

TEST_CASE("events happen when they are due") {
  TinyRun run(config_of("experts: 4"), kVocab, ProcessGroups::single());
  const auto steps = [&](const std::string& event) {
    const TrainConfig config = config_of("experts: 4, lifecycle: [" + event + "]");
    ExpertLifecycle lifecycle(config.model, config.moe, kRun);
    return steps_of(lifecycle, run, 100);
  };
  using Steps = std::vector<int64_t>;
  CHECK(steps("{kind: grow, at: [10%, 25, 1000]}") == Steps{10, 25});
  CHECK(steps("{kind: grow, every: 30}") == Steps{30, 60, 90});
  CHECK(steps("{kind: grow, every: 10, times: 2}") == Steps{10, 20});
  CHECK(steps("{kind: grow, every: 10, limit: 10}") == Steps{10, 20});  // 4, 8, 10
  CHECK(steps("{kind: prune, every: 10, count: 2, least: 2}") == Steps{10});
  CHECK(steps("{kind: prune, every: 10, below: 0.5}") == Steps{});  // no expert has been under-used
}

TEST_CASE("events that a signal leaves for later happen once, also in a resumed run") {
  TinyRun run(config_of("experts: 4"), kVocab, ProcessGroups::single());
  const TrainConfig config = config_of(
      "experts: 4, lifecycle: [{kind: grow, every: 10}, {kind: grow, at: [10]}, {kind: grow, every: 10, times: 3}]");
  ExpertLifecycle lifecycle(config.model, config.moe, kRun), resumed(config.model, config.moe, kRun);
  // Applies the events of a step, but not more than `most`, and returns the number of experts.
  const auto happen = [&](ExpertLifecycle& of, int64_t step, int most) {
    of.happen(
        step, 1, [&]() -> TrainingState& { return run.state; }, [&](const ExpertChange&) { return --most > 0; });
    return of.numbers()[0].experts;
  };
  CHECK(happen(lifecycle, 9, 9) == 4);
  CHECK(happen(lifecycle, 10, 1) == 8);
  resumed.restore(parse_json(json_text(lifecycle.save())), "x");
  for (ExpertLifecycle* of : {&lifecycle, &resumed}) {
    CHECK(happen(*of, 10, 1) == 16);
    CHECK(happen(*of, 10, 1) == 32);
    CHECK(happen(*of, 10, 1) == 32);
    CHECK(happen(*of, 11, 9) == 32);
    CHECK(happen(*of, 20, 9) == 128);
  }
  Json damaged = lifecycle.save();
  damaged["next"] = 4;
  CHECK_THROWS_AS(resumed.restore(damaged, "x"), CheckpointError);
}

TEST_CASE("a curriculum that opens its levels makes the experts grow") {
  TinyRun run(config_of("experts: 4"), kVocab, ProcessGroups::single());
  const TrainConfig opening = config_of("experts: 4, lifecycle: [{kind: grow, opened: [50%, 100%]}]");
  ExpertLifecycle lifecycle(opening.model, opening.moe, kRun);
  std::vector<int64_t> experts;
  int64_t step = 0;
  for (const double open : {0.1, 0.4, 0.5, 0.7, 0.99, 1.0, 1.0}) {
    lifecycle.happen(
        step++, open, [&]() -> TrainingState& { return run.state; }, [](const ExpertChange&) { return true; });
    experts.push_back(lifecycle.numbers()[0].experts);
  }
  CHECK(experts == std::vector<int64_t>{4, 4, 8, 8, 8, 16, 16});
}

TEST_CASE("experts that are never chosen are restarted after their patience, also in a resumed run") {
  TrainConfig config = config_of("experts: 4, router: sigmoid_bias, lifecycle: [{kind: restart, below: 0.2, for: 4}]");
  TinyRun run(config, kVocab, ProcessGroups::single());
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find("router.bias") != std::string::npos) p.value.as<float>()[2] = -1000;
  }
  ExpertLifecycle lifecycle(config.model, config.moe, kRun), resumed(config.model, config.moe, kRun);
  std::vector<int64_t> happened, again;
  const auto happen = [&](ExpertLifecycle& of, int64_t step, std::vector<int64_t>& steps) {
    of.happen(
        step, 1, [&]() -> TrainingState& { return run.state; },
        [&](const ExpertChange& change) {
          steps.push_back(step);
          CHECK(change.kind == "restart");
          CHECK(change.after == change.before);
          for (const ExpertMapping& mapping : change.mappings) {
            CHECK(mapping.experts[2].gradient_scale == 0);
            CHECK(mapping.experts[2].origins[0].expert != 2);
          }
          return true;
        });
  };
  for (int64_t step = 0; step < 6; ++step) {
    happen(lifecycle, step, happened);
    if (step >= 3) happen(resumed, step, again);
    run.run(RandomBatch(config, kVocab, 7, static_cast<uint64_t>(step)), step, 1e-4);
    lifecycle.observe(*run.state.model);
    if (step == 2) {
      resumed.restore(parse_json(json_text(lifecycle.save())), "x");
    } else if (step > 2) {
      resumed.observe(*run.state.model);
    }
  }
  CHECK(happened == std::vector<int64_t>{4});
  CHECK(again == happened);
  CHECK(resumed.save() == lifecycle.save());
  CHECK_THROWS_AS(resumed.restore(nullptr, "x"), CheckpointError);
  CHECK_THROWS_AS(resumed.restore({{"number", 4}, {"k_factor", 1}, {"use", 3}}, "x"), CheckpointError);
}

TEST_CASE("merging finds copies by the router") {
  TrainConfig config = config_of("experts: 8, lifecycle: [{kind: merge, at: [1], count: 4, scale_k: true}]");
  TinyRun small(config_of("experts: 4"), kVocab, ProcessGroups::single());
  const auto grown = changed(small, change_of("grow", {4, 1}, doubled(4), false), ProcessGroups::single());
  ExpertLifecycle lifecycle(config.model, config.moe, kRun);
  int happened = 0;
  lifecycle.happen(
      1, 1, [&]() -> TrainingState& { return grown->state; },
      [&](const ExpertChange& change) {
        ++happened;
        CHECK(change.after == LayerNumbers(change.after.size(), ExpertNumbers{4, 0.5}));
        for (const ExpertMapping& mapping : change.mappings) {
          for (const MappedExpert& expert : mapping.experts) {
            REQUIRE(expert.origins.size() == 2);
            CHECK(expert.origins[1].expert == expert.origins[0].expert + 4);
          }
        }
        return true;
      });
  CHECK(happened == 1);
}

TEST_CASE("events use each layer's number of experts") {
  const TrainConfig config = config_of(
      "experts: 4, layers: [{at: last, experts: 6}], lifecycle: [{kind: grow, at: [1], factor: 2, scale_k: true}, "
      "{kind: "
      "prune, at: [2], count: 3}]");
  TinyRun run(config, kVocab, ProcessGroups::single());
  REQUIRE(run.state.model->moe_layers().size() == 2);
  ExpertLifecycle lifecycle(config.model, config.moe, kRun);
  CHECK(lifecycle.numbers() == LayerNumbers{{4, 1}, {6, 1}});
  std::unique_ptr<TinyRun> next;
  const auto state = [&]() -> TrainingState& { return next ? next->state : run.state; };
  std::vector<LayerNumbers> found;
  const auto change = [&](const ExpertChange& what) {
    found.push_back(what.after);
    next = changed(next ? *next : run, what, ProcessGroups::single());
    return true;
  };
  lifecycle.happen(1, 1, state, change);
  lifecycle.happen(2, 1, state, change);
  CHECK(found == std::vector<LayerNumbers>{{{8, 2}, {12, 2}}, {{5, 2}, {9, 2}}});
  for (size_t layer = 0; layer < 2; ++layer) {
    CHECK(next->state.model->moe_layers()[layer]->num_experts() == found.back()[layer].experts);
  }
  train(*next, 2);
  const auto possible = possible_experts(config.model, config.moe, kRun);
  CHECK(possible.count({{4, 1}, {6, 1}}) == 1);
  CHECK(possible.count({{5, 2}, {9, 2}}) == 1);
  // The state in a checkpoint, and the one from when all layers had one number.
  const Json saved = lifecycle.save();
  const TrainConfig again = with_saved_experts(config, saved, "x");
  CHECK(configured_experts(again.model, again.moe) == found.back());
  const TrainConfig old = with_saved_experts(config_of("experts: 4"), {{"number", 8}, {"k_factor", 2.0}}, "x");
  CHECK(configured_experts(old.model, old.moe) == LayerNumbers{{8, 2}, {8, 2}});
  CHECK_THROWS_AS(with_saved_experts(config, {{"number", {8}}, {"k_factor", {2.0}}}, "x"), CheckpointError);
  CHECK_THROWS_AS(with_saved_experts(config, {{"number", {8, 0}}, {"k_factor", {1, 1}}}, "x"), CheckpointError);
}

TEST_CASE("the numbers of experts that a run may have are computed before it starts") {
  const auto numbers = [](const std::string& moe) {
    std::vector<int64_t> experts;
    const TrainConfig config = config_of(moe);
    for (const LayerNumbers& n : possible_experts(config.model, config.moe, kRun)) experts.push_back(n[0].experts);
    return experts;
  };
  using Experts = std::vector<int64_t>;
  CHECK(numbers("experts: 4") == Experts{4});
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, at: [10, 20]}]") == Experts{4, 8, 16});
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, at: [10]}, {kind: prune, at: [50], count: 3}]") ==
        Experts{4, 5, 8});
  CHECK(numbers("experts: 6, lifecycle: [{kind: prune, below: 0.1, least: 3}]") == Experts{3, 4, 5, 6});
  CHECK(numbers("experts: 6, lifecycle: [{kind: prune, below: 0.1, least: 3, times: 1}]") == Experts{5, 6});
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, opened: [50%, 90%]}]") == Experts{4, 8, 16});
  CHECK(numbers("experts: 4, lifecycle: [{kind: restart}]") == Experts{4});
  CHECK_THROWS_WITH(numbers("experts: 4, lifecycle: [{kind: grow, every: 2}]"), Catch::Contains("give it a limit"));
}

TEST_CASE("the numbers of experts of a run with more updates than a loop can make are computed, too") {
  const auto numbers = [](const std::string& moe) {
    std::vector<int64_t> experts;
    const TrainConfig config = config_of(moe);
    const RunLength run{int64_t{1} << 50, 32, 64};
    for (const LayerNumbers& n : possible_experts(config.model, config.moe, run)) experts.push_back(n[0].experts);
    return experts;
  };
  using Experts = std::vector<int64_t>;
  CHECK(numbers("experts: 4") == Experts{4});
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, every: 1k, times: 2}]") == Experts{4, 8, 16});
  CHECK(numbers("experts: 8, lifecycle: [{kind: prune, every: 7, least: 5}, {kind: restart, every: 1}]") ==
        Experts{5, 6, 7, 8});
  // Seldom, often, and once far ahead.
  CHECK(numbers("experts: 4, lifecycle: [{kind: restart, every: 1}, {kind: prune, every: 100G, least: 3}, "
                "{kind: grow, at: [50%]}]") == Experts{3, 4, 5, 6});
  // They undo each other.
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, every: 2}, {kind: prune, every: 2, count: 4}]") == Experts{4});
  CHECK(numbers("experts: 4, lifecycle: [{kind: grow, every: 10}, {kind: prune, every: 5, count: 2, least: 4}]") ==
        Experts{4, 6});
}

TEST_CASE("impossible events of moe.lifecycle are refused before the run starts") {
  const auto check = [](const std::string& moe, const std::string& more = "", int64_t ranks = 1) {
    const TrainConfig config = config_of(moe, more);
    check_lifecycle_plan(config, tiny_shape(config, kVocab), kRun, 1000, RankCounts::on_one_host(ranks));
  };
  const auto refuses = [&](const std::string& part, const std::string& moe, const std::string& more = "",
                           int64_t ranks = 1) {
    INFO(moe);
    CHECK_THROWS_AS(check(moe, more, ranks), UsageError);
    CHECK_THROWS_WITH(check(moe, more, ranks), Catch::Contains(part));
  };
  CHECK_NOTHROW(check("experts: 4, lifecycle: [{kind: grow, at: [10]}, {kind: restart}]"));
  CHECK_NOTHROW(check("experts: 4, router: hash, lifecycle: [{kind: restart}]"));
  refuses("hash", "experts: 4, router: hash, lifecycle: [{kind: grow, at: [10]}]");
  refuses("groups consist of neighbouring", "experts: 4, router: hierarchical, lifecycle: [{kind: prune, at: [10]}]");
  refuses("groups have their own routers", "experts: 4, strategy: hierarchical, lifecycle: [{kind: restart}]");
  refuses("never happens", "experts: 4, lifecycle: [{kind: prune}]");
  refuses("not a length of training", "experts: 4, lifecycle: [{kind: prune, at: [soon]}]");
  refuses("no share of the difficulties", "experts: 4, lifecycle: [{kind: grow, opened: [5]}]");
  refuses("opens all samples", "experts: 4, lifecycle: [{kind: grow, opened: [50%]}]");
  refuses("with 2 experts", "experts: 4, router: {k: 3}, lifecycle: [{kind: prune, at: [10], count: 2}]");
  refuses("always chooses two", "experts: 4, router: gshard, lifecycle: [{kind: grow, at: [10], scale_k: true}]");
  refuses("cannot share 3 experts", "experts: 4, lifecycle: [{kind: prune, at: [10]}]", ", parallel: {expert: 4}", 4);
  CHECK_NOTHROW(check("experts: 4, lifecycle: [{kind: grow, opened: [50%]}]",
                      ", curriculum: {sampler: {kind: buckets, pacing: {kind: linear, start: 0.2}}}"));
}
