// What a change of experts makes of a model and its optimizer, in any layout of ranks.
#include "core/lifecycle/moved_tensors.h"

#include <cmath>
#include <map>

#include "core/base/integer.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/lifecycle/lifecycle_record.h"
#include "tests/lifecycle/changed_run.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"

using namespace moe;
using namespace moe::test;

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
  CHECK(checked == 17);
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
    const auto expected = named_states(run), found = named_states(*merged);
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
  const auto moments = named_states(run), sums = named_states(*merged);
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
  const auto moments = named_states(*after_run), old_moments = named_states(run);
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
    const auto values = named_values(*expected), moments = named_states(*expected);
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
        for (const auto& [name, x] : named_states(*next)) same &= moments.at(name) == x, ++found;
        equal[as_index(world->rank())] = same && found > 20;
      });
      CHECK(equal == std::vector<int>(equal.size(), 1));
    }
  }
}
