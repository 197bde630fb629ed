// The effect of a capacity on the planned memory of a run.
#include <map>
#include <utility>

#include "comm/planned_communicator.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static TrainConfig config_with(const std::string& capacity) {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}}}, moe: {{experts: 8, d_ff: 64, capacity: "
      "{}}}, data: {{sequence: 16}}, train: {{batch: 8}}}}",
      capacity));
}

static MemoryPlan plan(const std::string& capacity, int ranks) {
  const TrainConfig config = config_with(capacity);
  const auto planned = [](int size) { return std::make_shared<PlannedCommunicator>(size); };
  const ProcessGroups groups{planned(ranks), planned(ranks), planned(1)};
  return plan_memory({config, kVocab, groups, {100, 128, 1}});
}

TEST_CASE("a capacity bounds the worst imbalance, if evaluation has one too") {
  const MemoryPlan dropless = plan("dropless", 4), trained = plan("{kind: fixed, factor: 1}", 4),
                   both = plan("{kind: fixed, factor: 1, evaluation: 1}", 4);
  CHECK(both.worst_activations < dropless.worst_activations);
  CHECK(both.worst_scratch < dropless.worst_scratch);
  CHECK(trained.worst_scratch < dropless.worst_scratch);
  CHECK(trained.worst_activations > both.worst_activations);
  // One rank has no imbalance, but a factor below 1 still saves rows.
  CHECK(plan("{kind: fixed, factor: 0.5, evaluation: 0.5}", 1).activations < plan("dropless", 1).activations);
  // The largest factor of the run determines the memory.
  CHECK(
      plan("{kind: fixed, factor: {kind: linear, from: 0.5, to: 1, over: 100%}, evaluation: 1}", 4).worst_activations ==
      both.worst_activations);
}

TEST_CASE("a model that is only evaluated is planned for the sequences of a pass, not for its training batch") {
  const TrainConfig config = config_with("dropless");
  TrainConfig smaller = config;
  smaller.train.batch = 3;
  const ProcessGroups groups = ProcessGroups::single();
  const auto plan_for = [&](const TrainConfig& c, int64_t sequences) {
    return plan_memory({.config = c,
                        .sample = kVocab,
                        .groups = groups,
                        .run = {100, 128, 1},
                        .trains = false,
                        .sequences = sequences});
  };
  CHECK(plan_for(config, 3).activations == plan_for(smaller, 0).activations);
  CHECK(plan_for(config, 3).scratch == plan_for(smaller, 0).scratch);
  CHECK(plan_for(config, 3).activations < plan_for(config, 0).activations);
}

TEST_CASE("evaluation without drops has enough memory after training with many drops") {
  TinyRun run(config_with("{kind: fixed, factor: 0.1}"), kVocab, ProcessGroups::single());
  const RandomBatch batch(run.config, kVocab, 11);
  run.run(batch, 0, 1e-3);
  CHECK(run.state.model->moe_layers()[0]->load().dropped_share() > 0.5);
  Context& ctx = run.state.ctx;
  ctx.activations->reset();
  ctx.scratch->reset();
  ctx.training = false;
  run.state.model->forward(ctx, {batch.sequences, batch.time, as_tensor(std::span(batch.inputs)),
                                 as_tensor(std::span(batch.targets)), 128, 8});
  SUCCEED("no arena was too small");
}

// Bytes of weights that are kept packed in a step of training, and in all with an evaluation, which must be the plan's.
static std::pair<size_t, size_t> packed_bytes(int64_t micro_batches, int64_t vocab) {
  TrainConfig config = config_with("dropless");
  config.train.micro_batches = micro_batches;
  const Precision precision{.products = Products::bf16};
  TinyRun run(config, vocab, ProcessGroups::single(), precision, Device::cpu);
  const RandomBatch batch(run.config, vocab, 11);
  run.run(batch, 0, 1e-3);
  const PackedWeights& packed = *run.state.ctx.packed_weights;
  const size_t in_training = packed.bytes();
  Context& ctx = run.state.ctx;
  ctx.activations->reset();
  ctx.scratch->reset();
  const ModeScope modes(ctx, {.training = false, .observe = false});
  const PackedWeightsScope scope(ctx);
  const TokenBatch tokens{
      batch.sequences, batch.time, as_tensor(std::span(batch.inputs)), as_tensor(std::span(batch.targets)), 128, 8};
  run.state.model->forward(ctx, tokens);
  run.state.model->losses(ctx, tokens);
  const MemoryPlan plan =
      plan_memory({.config = config, .sample = vocab, .groups = run.groups, .run = {1, 1, 1}, .precision = precision});
  CHECK(packed.bytes() == plan.packed_weights);
  return {in_training, packed.bytes()};
}

TEST_CASE("the memory plan has the weights that are kept packed in bf16, in training and at evaluation") {
  constexpr int64_t kWideVocab = 40'000;  // the head computes its logits in two chunks
  const auto once = packed_bytes(1, kVocab), twice = packed_bytes(2, kVocab), chunks = packed_bytes(1, kWideVocab);
  if (!cpu::can_pack_b()) return;
  CHECK(once.first == 0);  // each weight is used once in each direction
  CHECK(once.second > 0);
  CHECK(twice.first == twice.second);  // evaluation needs no other forms
  CHECK(chunks.first > 0);             // the head's two forms
  CHECK(chunks.first < chunks.second);
}

TEST_CASE("a step with a capacity reports the losses of tokens with dropped assignments") {
  for (const char* micro_batches : {"1", "2"}) {  // with two, the step is run twice for its sums
    TrainConfig config = config_with("{kind: fixed, factor: 0.5}");
    config.train.micro_batches = std::stoll(micro_batches);
    TinyRun run(config, kVocab, ProcessGroups::single());
    const StepOutcome outcome = run.run(RandomBatch(config, kVocab, 11), 0, 1e-3);
    CHECK(outcome.seconds > 0);
    for (const MoELayer* layer : run.state.model->moe_layers()) {
      std::map<std::string, double> measures;
      layer->for_each_measure(
          [&](const std::string& name, std::optional<double> value) { measures[name] = value.value(); });
      const double lost = measures.at("tokens_dropped");
      CHECK(lost > 0.1);
      CHECK(lost < 1);
      CHECK(lost * measures.at("loss_dropped") + (1 - lost) * measures.at("loss_kept") == Approx(outcome.loss));
      CHECK(measures.at("dropped") == layer->load().dropped_share());
    }
  }
}
