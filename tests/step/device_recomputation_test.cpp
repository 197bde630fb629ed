// model.recompute changes no bit of a step on the tested device. tests/step/recomputation_test.cpp has all methods, on
// the CPU.
#include <map>
#include <string>
#include <vector>

#include "comm/staged_communicator.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static const char* kModels[] = {
    R"(
model: {layers: 2, d_model: 16, arrangement: glam, dropout: 0.1, init_std: 0.1, attention: {heads: 2, kv_heads: 1, qk_norm: head, dropout: 0.2}}
moe: {experts: 4, d_ff: 12, shared_experts: 1, hidden_dropout: 0.2, dropout: 0.2, router: {kind: noisy_topk, input_dropout: 0.2}, balance: [switch, {kind: z, scope: sequence}]}
data: {sequence: 8}
train: {batch: 2, micro_batches: 2, steps: 4}
)",
    R"(
model: {layers: 2, d_model: 16, norm: layer, norm_place: post_twice, bias: true, init_std: 0.1, attention: {heads: 2, position: relative, memory: 9}}
moe: {experts: 4, d_ff: 12, strategy: stochastic, capacity: {kind: fixed, factor: 0.8, renormalise: true}}
curriculum: {sampler: contiguous}
data: {sequence: 8}
train: {batch: 2, steps: 4}
)",
    R"(
task: classify
model: {layers: 2, d_model: 16, pooling: class_token, init_std: 0.1, attention: {heads: 2, causal: false}}
moe: {experts: 4, d_ff: 12, strategy: {kind: compete, probability: 1, version: 2}}
data: {sequence: 8}
train: {batch: 2, steps: 4}
)"};

using Results = std::map<std::string, std::vector<double>>;

static Results two_updates(const TrainConfig& config, const ProcessGroups& groups, DType storage) {
  TinyRun run(config, kVocab, groups, storage, test::test_device());
  Results results;
  for (int64_t i = 0; i < 2; ++i) {
    const RandomBatch batch(config, kVocab, 11, static_cast<uint64_t>(i));
    const StepOutcome outcome = run.accumulate(batch, i);
    Model& model = *run.state.model;
    results[fmt::format("outcome {}", i)] = {outcome.loss, outcome.auxiliary, outcome.norm, outcome.accuracy};
    results[fmt::format("sums {}", i)] = {model.sums().begin(), model.sums().end()};
    results[fmt::format("loss sums {}", i)] = {model.loss_sums().begin(), model.loss_sums().end()};
    for (const auto& [name, gradient] : named_gradients(run)) results[fmt::format("{} {}", name, i)] = gradient;
    run.clear_gradients();
    run.run(batch, i, 3e-3);
  }
  for (const auto& [name, value] : named_values(run)) results[name] = value;
  return results;
}

static Results results_of(const char* yaml, const std::string& recompute, int ranks, DType storage) {
  TrainConfig config = config_from(yaml);
  config.model.recompute = recompute;
  if (ranks == 1) return two_updates(config, ProcessGroups::single(), storage);
  Results first;
  test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
    const auto staged = std::make_shared<StagedCommunicator>(world);
    const Results own = two_updates(config, ProcessGroups::make(staged, ranks, config.moe.experts), storage);
    if (world->rank() == 0) first = own;
  });
  return first;
}

static void check_equal_bits(int ranks, DType storage) {
  for (const char* yaml : kModels) {
    const Results expected = results_of(yaml, "none", ranks, storage);
    for (const char* recompute : {"experts", "blocks"}) {
      INFO(yaml << recompute << ", " << ranks << " ranks");
      const Results found = results_of(yaml, recompute, ranks, storage);
      REQUIRE(found.size() == expected.size());
      for (const auto& [what, values] : expected) {
        INFO(what);
        CHECK(found.at(what) == values);
      }
    }
  }
}

TEST_CASE("gradients with recomputation on the device equal those without, to the bit") {
  check_equal_bits(1, DType::f32);
}

TEST_CASE("bf16 updates with recomputation on the device equal those without, to the bit") {
  if (test::on_cpu()) return;  // the CPU stores f32
  check_equal_bits(1, DType::bf16);
}

TEST_CASE("expert-parallel updates with recomputation on the device equal those without, to the bit") {
  check_equal_bits(2, DType::f32);
}
