// Events of moe.lifecycle: their effect on a model, when they happen, and refusals before a run starts.
#include "core/lifecycle/expert_lifecycle.h"

#include <cmath>
#include <map>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/lifecycle/lifecycle_record.h"
#include "core/lifecycle/moved_tensors.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 19;

static TrainConfig config_of(const std::string& moe, const std::string& more = "") {
  return config_from(
      fmt::format("{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}, init_std: 0.2}}, data: {{sequence: 8}}, "
                  "train: {{batch: 4, steps: 100}}, moe: {{d_ff: 12, {}}}{}}}",
                  moe, more));
}

// Logits of the whole batch, at evaluation.
static std::vector<double> logits(TinyRun& run) {
  const RandomBatch batch(run.config, kVocab, 3);
  Context& ctx = run.state.ctx;
  ctx.activations->reset();
  ctx.scratch->reset();
  ctx.training = false;
  BatchBuffers buffers;
  const LocalBatch local = batch.share(*run.groups.world);
  const TokenBatch tokens =
      to_device(ctx, local, {0, local.sequences}, run.state.model->predictions_per_sample(batch.time), buffers);
  run.state.model->forward(ctx, tokens);
  const Tensor result = run.state.model->logits(ctx, 0, tokens.tokens());
  return {result.as<float>(), result.as<float>() + result.size()};
}

static double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= worst)) worst = std::abs(a[i] - b[i]);
  }
  return worst;
}

static ExpertChange change_of(const std::string& kind, const ExpertNumbers& before, const ExpertMapping& mapping,
                              bool scale_k, size_t layers = 2) {
  ExpertNumbers after{mapping.after(), before.k_factor};
  if (scale_k) after.k_factor *= static_cast<double>(mapping.after()) / static_cast<double>(before.experts);
  ExpertChange change{kind, LayerNumbers(layers, before), LayerNumbers(layers, after), 0, 0, {}};
  change.mappings.assign(layers, mapping);
  return change;
}

static ExpertMapping doubled(int64_t experts) {
  std::vector<int64_t> all;
  for (int64_t e = 0; e < experts; ++e) all.push_back(e);
  return growing(experts, all, false);
}

// The run after a change, with the mapped tensors of `run`.
static std::unique_ptr<TinyRun> changed(TinyRun& run, const ExpertChange& change, ProcessGroups groups,
                                        int64_t step = 0) {
  auto next = std::make_unique<TinyRun>(with_experts(run.config, change.after), kVocab, groups);
  const MovedTensors moved(run.state, run.groups, next->groups, change, step);
  moved.write_to(next->state);
  return next;
}

static void train(TinyRun& run, int64_t updates) {
  for (int64_t i = 0; i < updates; ++i) {
    run.run(RandomBatch(run.config, kVocab, 7, static_cast<uint64_t>(i)), i, 3e-3);
  }
}

static std::map<std::string, std::vector<double>> named_moments(TinyRun& run) {
  std::map<std::string, std::vector<double>> result;
  for (const ParameterGroup group : kTrainedGroups) {
    const Optimizer& optimizer = *run.state.optimizer;
    for (size_t kind = 0; kind < optimizer.state_kinds().size(); ++kind) {
      optimizer.visit_state(group, kind, [&](const NamedTensor& t) {
        result[optimizer.state_kinds()[kind].name + "." + t.name] = {t.tensor.as<float>(),
                                                                     t.tensor.as<float>() + t.tensor.size()};
      });
    }
  }
  return result;
}

TEST_CASE("twice the experts and twice k compute the same, with every router that declares it") {
  int checked = 0;
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    TrainConfig config = config_of(fmt::format("experts: 4, router: {}", router.name));
    SampleShape sample = tiny_shape(config, kVocab);
    if (!fixed_experts(config, sample).number.empty()) continue;
    // These routers determine k themselves.
    if (router.name == "gshard" || router.name == "stable" || router.name == "random") {
      CHECK_THROWS_AS(summarise(with_experts(config, {{8, 2}, {8, 2}}), sample), UsageError);
      continue;
    }
    TinyRun run(config, kVocab, ProcessGroups::single());
    train(run, 3);
    run.state.ctx.step = 0;
    const std::vector<double> before = logits(run);
    const ExpertChange change = change_of("grow", {4, 1}, doubled(4), true);
    const auto grown = changed(run, change, ProcessGroups::single());
    CHECK(largest_difference(logits(*grown), before) < 1e-6);
    CHECK(why_changed(change, *grown->state.model).empty());
    // Training continues, and starts from the same loss.
    const RandomBatch batch(config, kVocab, 3);
    CHECK(grown->accumulate(batch, 50).finite());
    ++checked;
  }
  CHECK(checked == 14);
  const TrainConfig sigmoid = config_of("experts: 4, router: {kind: sigmoid_bias, renormalise: false}");
  TinyRun run(sigmoid, kVocab, ProcessGroups::single());
  CHECK_FALSE(why_changed(change_of("grow", {4, 1}, doubled(4), true), *run.state.model).empty());
}

TEST_CASE("merging copies reverses growing, including the optimizer") {
  std::vector<std::pair<std::string, std::string>> cases{{"relu", "adamw"}, {"sigmoid_bias", "adamw"}};
  for (const std::string& optimizer : test::optimizer_variants()) cases.emplace_back("topk", optimizer);
  for (const auto& [router, optimizer] : cases) {
    INFO(router << ", " << optimizer);
    TinyRun run(config_of(fmt::format("experts: 4, router: {}", router), fmt::format(", optimizer: {}", optimizer)),
                kVocab, ProcessGroups::single());
    train(run, 3);
    const auto grown = changed(run, change_of("grow", {4, 1}, doubled(4), true), ProcessGroups::single());
    const std::vector<double> use(8, 0.125);
    const ExpertMapping back = merging(use, {{0, 4}, {1, 5}, {2, 6}, {3, 7}});
    CHECK(back.after() == 4);
    const auto merged = changed(*grown, change_of("merge", {8, 2}, back, true), ProcessGroups::single());
    CHECK(named_values(*merged) == named_values(run));
    const auto expected = named_moments(run), found = named_moments(*merged);
    CHECK(expected.size() == found.size());
    for (const auto& [name, values] : expected) {
      INFO(name);
      CHECK(distance(found.at(name), values) < 1e-6);
    }
    CHECK(largest_difference(logits(*merged), logits(run)) == 0);
  }
}

TEST_CASE("merging weights experts by use and adds their moments") {
  TinyRun run(config_of("experts: 4"), kVocab, ProcessGroups::single());
  train(run, 3);
  const std::vector<double> use{0.1, 0.5, 0.3, 0.1};
  const auto merged = changed(run, change_of("merge", {4, 1}, merging(use, {{0, 2}}), false), ProcessGroups::single());
  const auto before = named_values(run), after = named_values(*merged);
  const auto moments = named_moments(run), sums = named_moments(*merged);
  const std::string a = "blocks.1.moe.experts.0.input.weight", c = "blocks.1.moe.experts.2.input.weight";
  for (size_t i = 0; i < before.at(a).size(); ++i) {
    CHECK(after.at(a)[i] == Approx(0.25 * before.at(a)[i] + 0.75 * before.at(c)[i]).margin(1e-7));
    CHECK(sums.at("first_moment." + a)[i] ==
          Approx(moments.at("first_moment." + a)[i] + moments.at("first_moment." + c)[i]).margin(1e-12));
    CHECK(std::sqrt(sums.at("second_moment." + a)[i]) ==
          Approx(std::sqrt(moments.at("second_moment." + a)[i]) + std::sqrt(moments.at("second_moment." + c)[i]))
              .margin(1e-10));
  }
  // Expert 3 moved to another index, and so did the router's rows.
  CHECK(after.at(c) == before.at("blocks.1.moe.experts.3.input.weight"));
  const std::string router = "blocks.1.moe.router.weight";
  REQUIRE(after.at(router).size() == 3 * 16);
  CHECK(after.at(router)[2 * 16 + 5] == before.at(router)[3 * 16 + 5]);
  CHECK(after.at(router)[5] == Approx(0.25 * before.at(router)[5] + 0.75 * before.at(router)[2 * 16 + 5]).margin(1e-7));
}

TEST_CASE("pruning an expert that is never chosen changes nothing") {
  TinyRun run(config_of("experts: 4, router: sigmoid_bias"), kVocab, ProcessGroups::single());
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find("router.bias") != std::string::npos) p.value.as<float>()[1] = -1000;
  }
  const std::vector<int64_t> which{1};
  const auto pruned = changed(run, change_of("prune", {4, 1}, pruning(4, which), false), ProcessGroups::single());
  CHECK(largest_difference(logits(*pruned), logits(run)) < 1e-6);
  CHECK(named_values(*pruned).at("blocks.0.moe.experts.1.input.weight") ==
        named_values(run).at("blocks.0.moe.experts.2.input.weight"));
}

TEST_CASE("a restarted expert is a copy of the busiest with noise, and its optimizer moments are reset") {
  TinyRun run(config_of("experts: 4"), kVocab, ProcessGroups::single());
  train(run, 3);
  const std::vector<std::vector<double>> use{{0.4, 0.3, 0.3, 0}, {0.5, 0, 0.5, 0}};
  const ExpertChange change = restart_experts(use, {{3}, {1, 3}}, {{4, 1}, {4, 1}}, 0.1, 0.2);
  CHECK(change.mappings[0].experts[3].origins == std::vector<ExpertOrigin>{{0, 1}});
  CHECK(change.mappings[1].experts[1].origins == std::vector<ExpertOrigin>{{0, 1}});
  // Expert 0 has given half of its use away.
  CHECK(change.mappings[1].experts[3].origins == std::vector<ExpertOrigin>{{2, 1}});
  const auto after_run = changed(run, change, ProcessGroups::single(), 5);
  const auto before = named_values(run), after = named_values(*after_run);
  const auto moments = named_moments(*after_run), old_moments = named_moments(run);
  const auto relative = [](const std::vector<double>& x, const std::vector<double>& like) { return distance(x, like); };
  for (const char* part : {"input", "output"}) {
    const auto name = [&](int e) { return fmt::format("blocks.0.moe.experts.{}.{}.weight", e, part); };
    CHECK(after.at(name(0)) == before.at(name(0)));
    CHECK(relative(after.at(name(3)), before.at(name(0))) == Approx(0.1).epsilon(0.2));
    for (const double m : moments.at("first_moment." + name(3))) CHECK(m == 0);
    CHECK(moments.at("second_moment." + name(0)) == old_moments.at("second_moment." + name(0)));
  }
  const auto row = [](const std::vector<double>& x, int e) {
    return std::vector<double>(x.begin() + e * 16, x.begin() + (e + 1) * 16);
  };
  const std::string router = "blocks.0.moe.router.weight";
  CHECK(row(after.at(router), 0) == row(before.at(router), 0));
  CHECK(relative(row(after.at(router), 3), row(before.at(router), 0)) == Approx(0.2).epsilon(0.5));
  CHECK(row(after.at(router), 3) != row(before.at(router), 0));
}

TEST_CASE("a change gives identical bits in any layout") {
  TrainConfig config = config_of("experts: 5, router: sigmoid_bias, strategy: contrastive");
  const TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  TinyRun reference(config, kVocab, ProcessGroups::single());
  train(reference, 2);
  RunState state;
  state.step = 2;
  checkpoints.save(state, reference.state.parameters, *reference.state.optimizer, reference.groups, {});
  const std::vector<int64_t> sources{4, 0, 2};
  ExpertChange grow = change_of("grow", {5, 1}, growing(5, sources, true), false);
  grow.noise = 0.05, grow.router_noise = 0.1;
  const std::vector<double> use{0.3, 0.1, 0.1, 0.2, 0.3};
  for (const ExpertChange& change : {grow, change_of("merge", {5, 1}, merging(use, {{1, 2}, {3, 4}}), false),
                                     restart_experts({use, use}, {{1}, {2, 1}}, {{5, 1}, {5, 1}}, 0.1, 0.1)}) {
    INFO(change.kind);
    const auto expected = changed(reference, change, ProcessGroups::single(), 2);
    const auto values = named_values(*expected), moments = named_moments(*expected);
    struct Layout {
      int ranks, expert_parallel;
      bool shard;
    };
    for (const auto& [ranks, expert_parallel, shard] : {Layout{1, 1, false},
                                                        {2, 1, false},
                                                        {2, 2, false},
                                                        {3, 3, false},
                                                        {4, 2, false},
                                                        {2, 1, true},
                                                        {4, 2, true}}) {
      INFO(ranks << " ranks, " << expert_parallel << " share the experts" << (shard ? ", a divided optimizer" : ""));
      TrainConfig ranked = config;
      read_config(parse_config(fmt::format("optimizer: {{shard: {}}}", shard), "a test"), ranked);
      std::vector<int> equal(static_cast<size_t>(ranks));
      test::run_ranks(ranks, [&, width = expert_parallel](std::shared_ptr<Communicator> world) {
        TinyRun run(ranked, kVocab, ProcessGroups::make(world, width, 5));
        load_tensors(checkpoints.path(2), run.state.parameters, run.state.optimizer.get());
        const auto next = changed(run, change, ProcessGroups::make(world, width, fewest(change.after)), 2);
        bool same = true;
        size_t found = 0;
        for (const auto& [name, x] : named_values(*next)) same &= values.at(name) == x, ++found;
        for (const auto& [name, x] : named_moments(*next)) same &= moments.at(name) == x, ++found;
        equal[as_index(world->rank())] = same && found > 20;
      });
      CHECK(equal == std::vector<int>(equal.size(), 1));
    }
  }
}

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
