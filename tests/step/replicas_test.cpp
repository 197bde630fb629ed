// Whole steps with copies of experts (parallel.replicas): they equal those without to rounding.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "comm/profiled_communicator.h"
#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "core/config/recompute.h"
#include "core/step/traffic_record.h"
#include "tests/support/catch.h"
#include "tests/support/random_map.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kVocab = 23;
using Values = std::map<std::string, std::vector<double>>;

TrainConfig config_with(const std::string& more, int64_t replicas) {
  ConfigNode root = parse_config(R"(
model: {layers: 2, d_model: 16, d_ff: 20, init_std: 0.3, attention: {heads: 2}}
moe: {experts: 8, d_ff: 12}
data: {sequence: 6}
train: {batch: 6, steps: 100}
parallel: {placement: {kind: load, every: 10}}
)",
                                 "base");
  merge_config(root, parse_config(more, "more"));
  TrainConfig config;
  read_config(root, config);
  config.parallel.replicas = replicas;
  return config;
}

// Copies of random experts; other ones for each `seed`.
void replicate_randomly(TinyRun& run, uint64_t seed) {
  if (run.groups.expert->size() == 1) return;
  for (MoELayer* layer : run.state.model->moe_layers()) {
    layer->replicate(test::random_replicas(layer->expert_map(), run.config.parallel.replicas,
                                           seed + static_cast<uint64_t>(layer->layer())));
    layer->update_copies(run.state.ctx);
  }
}

struct Trained {
  std::vector<double> losses, norms;
  Values gradients, values;  // gradients of the first step
};

Trained train(const TrainConfig& config, int ranks, int width, int64_t steps, const std::vector<int>& hosts = {}) {
  Trained result;
  std::mutex mutex;
  test::run_ranks(
      ranks,
      [&](std::shared_ptr<Communicator> world) {
        TinyRun first(config, kVocab, ProcessGroups::make(world, width, 8));
        replicate_randomly(first, 1);
        first.accumulate(RandomBatch(config, kVocab, 11));
        Values gradients = named_gradients(first);
        TinyRun run(config, kVocab, first.groups);
        std::vector<double> losses, norms;
        for (int64_t i = 0; i < steps; ++i) {
          if (i % 20 == 0) replicate_randomly(run, static_cast<uint64_t>(i));
          const StepOutcome outcome = run.run(RandomBatch(config, kVocab, 11, static_cast<uint64_t>(i % 5)), i, 3e-3);
          losses.push_back(outcome.loss);
          norms.push_back(outcome.norm);
        }
        Values values = everything_named(run);
        const std::scoped_lock lock(mutex);
        result.gradients.merge(gradients);
        result.values.merge(values);
        if (world->rank() == 0) result.losses = losses, result.norms = norms;
      },
      hosts);
  return result;
}

void check_close(const Values& is, const Values& expected, double tolerance) {
  REQUIRE(is.size() == expected.size());
  for (const auto& [name, wanted] : expected) {
    INFO(name);
    const std::vector<double>& found = is.at(name);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      worst = std::max(worst, std::abs(found[i] - wanted[i]));
    }
    CHECK(worst <= tolerance * largest + 1e-12);
  }
}

}  // namespace

TEST_CASE("50 updates with copies of experts follow those of one rank and those without copies") {
  for (const char* yaml :
       {"{}", "{model: {bias: true}, optimizer: {kind: adamw, shard: true}}",
        "{train: {micro_batches: 2}, parallel: {overlap: 2}, moe: {shared_experts: 1}}",
        "{parallel: {reduce_during_backward: false}, moe: {strategy: stochastic}, model: {recompute: experts}}",
        "{train: {micro_batches: 3}, moe: {hidden_dropout: 0.2, strategy: {kind: compete, probability: 0.5}}, "
        "model: {recompute: blocks, dropout: 0.1}}"}) {
    const Trained one = train(config_with(yaml, 0), 1, 1, 50);
    for (const auto& [ranks, width] : {std::pair{2, 2}, std::pair{4, 2}, std::pair{4, 4}}) {
      INFO(yaml << ", " << ranks << " ranks, " << width << " share the experts");
      const Trained without = train(config_with(yaml, 0), ranks, width, 50),
                    with = train(config_with(yaml, 2), ranks, width, 50);
      check_close(with.gradients, one.gradients, 1e-5);
      check_close(with.gradients, without.gradients, 1e-5);
      for (size_t i = 0; i < 50; ++i) {
        CHECK(with.losses[i] == Approx(one.losses[i]).epsilon(1e-4));
        CHECK(with.losses[i] == Approx(without.losses[i]).epsilon(1e-4));
        CHECK(with.norms[i] == Approx(without.norms[i]).epsilon(2e-3));
      }
      // Parameters, states and checkpoints have no copies.
      std::set<std::string> names, others;
      for (const auto& [name, values] : with.values) names.insert(name);
      for (const auto& [name, values] : one.values) others.insert(name);
      CHECK(names == others);
      const Trained again = train(config_with(yaml, 2), ranks, width, 50);
      CHECK(again.losses == with.losses);
      CHECK(again.values == with.values);
    }
  }
}

TEST_CASE("updates with copies of experts on several hosts follow those of one rank") {
  const Trained one = train(config_with("{}", 0), 1, 1, 20);
  for (const std::vector<int>& hosts : {std::vector{0, 0, 1, 1}, std::vector{0, 1, 2, 3}}) {
    for (const char* yaml : {"{}", "parallel: {overlap: 2}", "parallel: {all_to_all: direct}"}) {
      const Trained with = train(config_with(yaml, 2), 4, 4, 20, hosts);
      check_close(with.gradients, one.gradients, 1e-5);
      for (size_t i = 0; i < 20; ++i) CHECK(with.losses[i] == Approx(one.losses[i]).epsilon(1e-4));
    }
  }
}

TEST_CASE("precision bf16 packs the weights of copies again after each update") {
  const auto losses = [](int64_t replicas, int ranks) {
    std::vector<double> result;
    test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
      const TrainConfig config = config_with("{train: {micro_batches: 2}}", replicas);
      TinyRun run(config, kVocab, ProcessGroups::make(world, world->size(), 8), Precision{.products = Products::bf16},
                  Device::cpu);
      if (replicas > 0) replicate_randomly(run, 3);
      std::vector<double> mine;
      for (int64_t i = 0; i < 20; ++i) {
        mine.push_back(run.run(RandomBatch(config, kVocab, 11, static_cast<uint64_t>(i % 5)), i, 1e-2).loss);
      }
      if (world->rank() == 0) result = mine;
    });
    return result;
  };
  const std::vector<double> without = losses(0, 2), with = losses(2, 2);
  for (size_t i = 0; i < 20; ++i) CHECK(with[i] == Approx(without[i]).epsilon(0.02));
}

TEST_CASE("the memory plan has the copies' weights and gradients, and equals what a step uses") {
  for (const char* yaml : {"{}", "{model: {bias: true}, train: {micro_batches: 2}}", "optimizer: {shard: true}",
                           "parallel: {reduce_during_backward: false}"}) {
    for (const std::string& recompute : recompute_values()) {
      INFO(yaml << ", " << recompute);
      TrainConfig config = config_with(yaml, 2), none = config_with(yaml, 0);
      for (TrainConfig* c : {&config, &none}) {
        c->moe.router.select("uniform");  // every expert gets every token, so ranks get as many rows as planned
        c->data.sequence = 32;
        c->train.batch = 4;
        c->model.recompute = recompute;
      }
      std::vector<std::vector<size_t>> used(2), planned(2);
      std::vector<int> same(2);
      test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
        const auto rank = static_cast<size_t>(world->rank());
        TinyRun run(config, kVocab, ProcessGroups::make(world, 2, 8));
        for (MoELayer* layer : run.state.model->moe_layers()) {
          layer->replicate(Replicas(layer->expert_map(), {{5, 7}, {0, 2}}, 2));
          layer->update_copies(run.state.ctx);
        }
        run.run(RandomBatch(config, kVocab, 11), 10, 1e-3);
        const MemoryPlan plan = plan_memory({config, kVocab, run.groups, {20, 128, 1}}),
                         without = plan_memory({none, kVocab, run.groups, {20, 128, 1}});
        used[rank] = {run.state.activations().peak(), run.state.scratch().peak(), run.state.parameters.copies_bytes(),
                      run.state.used_bytes()};
        planned[rank] = {plan.activations, plan.scratch, plan.copies,
                         plan.total() - plan.messages - plan.evaluation_memory};
        const size_t bias = config.model.bias.feed_forward ? 24 + 16 : 0, copies = 2 * 2 * (3 * 12 * 16 + bias) * 4;
        same[rank] = plan.copies == 2 * copies && without.copies == 0 && plan.parameters == without.parameters &&
                     plan.gradients == without.gradients && plan.optimizer == without.optimizer;
      });
      CHECK(used == planned);
      CHECK(same == std::vector<int>{1, 1});
    }
  }
}

TEST_CASE("steps with copies of experts never need more memory than planned for the worst case") {
  for (const char* yaml : {"{}", "{parallel: {overlap: 2}, optimizer: {shard: true}}"}) {
    std::vector<int> fits(4);
    test::run_ranks(4, [&](const std::shared_ptr<Communicator>& world) {
      const auto rank = static_cast<size_t>(world->rank());
      const TrainConfig config = config_with(yaml, 2);
      TinyRun run(config, kVocab, ProcessGroups::make(world, 4, 8));
      replicate_randomly(run, 5);
      std::vector<RandomBatch> batches;
      for (uint64_t i = 0; i < 4; ++i) batches.emplace_back(config, kVocab, 11, i);
      for (int64_t i = 0; i < 4; ++i) run.run(batches[as_index(i)], i, 1e-3);
      const MemoryPlan plan = plan_memory({config, kVocab, run.groups, {100, 36, 1}});
      fits[rank] =
          run.state.activations().peak() <= plan.worst_activations && run.state.scratch().peak() <= plan.worst_scratch;
    });
    CHECK(fits == std::vector<int>{1, 1, 1, 1});
  }
}

TEST_CASE("a profile has the copies' weights and gradients as a kind of their own") {
  TrafficProfile profile;
  std::array<int64_t, 2> copies{};
  test::run_ranks(4, [&](const std::shared_ptr<Communicator>& world) {
    const auto recorder = std::make_shared<TrafficRecorder>();
    const TrainConfig config = config_with("{}", 2);
    TinyRun run(config, kVocab, ProcessGroups::make(profiled(world, recorder), 4, 8));
    run.state.ctx.traffic = recorder.get();
    replicate_randomly(run, 2);
    recorder->begin_step();
    run.run(RandomBatch(config, kVocab, 11), 0, 1e-3);
    const TrafficProfile mine = recorder->finish_step(*run.groups.world);
    if (world->rank() > 0) return;
    profile = mine;
    for (size_t i = 0; i < 2; ++i) copies[i] = run.state.model->moe_layers()[i]->replicas().number();
  });
  for (int layer = 0; layer < 2; ++layer) {
    const auto row = std::find_if(profile.rows.begin(), profile.rows.end(), [&](const TrafficRow& r) {
      return r.label == TrafficLabel{TrafficKind::replicas, layer};
    });
    REQUIRE(row != profile.rows.end());
    CHECK(copies[as_index(layer)] == 6);
    CHECK(row->counts.bytes() == copies[as_index(layer)] * 2 * (3 * 12 * 16) * 4);
  }
}

TEST_CASE("copies without a placement that measures the load are refused, with what to do") {
  const TrainConfig config = config_with("parallel: {placement: contiguous}", 1);
  try {
    plan_memory({config, kVocab, ProcessGroups::single(), {20, 128, 1}});
    FAIL("accepted");
  } catch (const UsageError& error) {
    CHECK_THAT(error.what(), Catch::Contains("parallel.replicas") && Catch::Contains("load or co_activation"));
  }
}
