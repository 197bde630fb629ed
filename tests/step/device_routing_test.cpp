// Every router, strategy, balance loss and optimizer in training steps on the tested device, compared with the CPU.
#include <cmath>

#include "core/config/config_reader.h"
#include "core/moe/strategy.h"
#include "core/tensor/copy.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/test_context.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

// A tiny model with the keys `moe` in its moe section.
static TrainConfig config_of(const std::string& moe) {
  return config_from(fmt::format(
      "{{model: {{layers: 1, d_model: 16, init_std: 0.1, attention: {{heads: 2}}}}, moe: {{experts: 4, d_ff: 16, {}}}, "
      "data: {{sequence: 16}}, train: {{batch: 2}}}}",
      moe));
}

static std::unique_ptr<TinyRun> run_of(const TrainConfig& config, Precision precision, Device device) {
  return std::make_unique<TinyRun>(config, kVocab, ProcessGroups::single(), precision, device);
}

// The run on the CPU in f32; null for a member that requires options.
static std::unique_ptr<TinyRun> cpu_run_of(const TrainConfig& config) try {
  return run_of(config, Precision{}, Device::cpu);
} catch (const UsageError&) {
  return nullptr;
}

// Whether a step, or an evaluation, of the model on a GPU runs some ops on the host.
static bool needs_host(const TrainConfig& config, bool trains) {
  const ProcessGroups groups = ProcessGroups::single();
  return plan_memory({.config = config,
                      .sample = kVocab,
                      .groups = groups,
                      .run = {1, 32, 1},
                      .trains = trains,
                      .precision = {.storage = DType::bf16},
                      .device = Device::cuda})
      .needs_host;
}

// Runs whole steps on both, with the rules that update untrained values, and compares losses and what they lead to.
static void check_updates(TinyRun& cpu, TinyRun& device, const RandomBatch& batch, int64_t updates) {
  for (int64_t i = 0; i < updates; ++i) {
    const double loss = cpu.run(batch, i, 1e-3).loss;
    CHECK(device.run(batch, i, 1e-3).loss == Approx(loss).epsilon(1e-4));
  }
  const auto values = named_values(device);
  for (const auto& [name, value] : named_values(cpu)) {
    INFO(name);
    CHECK(distance(values.at(name), value) < 1e-2);
  }
}

// The members of a family under their key, in YAML.
template <class Family>
static std::vector<std::string> members(const std::string& format) {
  std::vector<std::string> result;
  for (const Member& member : family<Family>()) result.push_back(fmt::format(fmt::runtime(format), member.name));
  return result;
}

// Settings that change the computation.
static const char* kVariants[] = {
    "router: {kind: topk, k: 3, softmax: all, jitter: 0.2, expert_dropout: 0.3, learn_temperature: true}",
    "hidden_dropout: 0.4, router: {kind: topk, input_dropout: 0.3}",
    "hidden_dropout: 0.4, strategy: {kind: compete, probability: 1}",
    "router: {kind: topk, k: {kind: linear, from: 4, to: 2, over: 100%}, temperature: 2}",
    "router: {kind: noisy_topk, expert_dropout: 0.3, expert_dropout_per: sequence}, balance: [load]",
    "balance: [{kind: z, over: chosen}]",
    "balance: [{kind: z, over: rest, scope: sequence}]",
    "router: {kind: sigmoid_bias, groups: 2, renormalise: false}",
    "router: {kind: hierarchical, groups: 2, chosen_groups: 2, experts_per_group: 1}",
    "router: {kind: expert_choice, group: position}",
    "router: {kind: sinkhorn, group: batch}",
    "router: {kind: hash, k: 2}",
    "router: {kind: cosine, dimension: 5, learn_temperature: false, temperature: 0.5}",
    "router: {kind: stable, stage1: 1}",
    "router: {kind: stable}, strategy: {kind: hierarchical}",
    "router: {kind: switch}, strategy: {kind: compete, probability: 1}",
    "strategy: {kind: compete, probability: 1}",
    "strategy: {kind: compete, probability: 1, version: 2}",
    "capacity: {kind: fixed, factor: 0.6}",
    "capacity: {kind: fixed, factor: 0.6, drop: score, renormalise: true, group: batch}",
    "capacity: {kind: needed, limit: 0.8, dropped: 0.3, drop: score}",
    "capacity: {kind: complexity, smallest: 0.4, largest: 0.8, group: position}",
    "capacity: {kind: bandit, smallest: 0.4, largest: 0.8, hold: 1}",
    "router: {kind: relu}, capacity: {kind: fixed, factor: 0.6, drop: score}",
    "strategy: {kind: compete, probability: 1}, capacity: 0.6",
    "strategy: {kind: stochastic, statistics: causal}",
    "strategy: {kind: stochastic, statistics: sequence}",
};

static std::vector<std::string> variants() {
  std::vector<std::string> all = members<Router>("router: {{kind: {}}}");
  for (const std::string& text : members<Strategy>("strategy: {{kind: {}}}")) all.push_back(text);
  for (const std::string& text : members<BalanceLoss>("balance: [{}]")) all.push_back(text);
  for (const std::string& text : test::strategy_variants()) all.push_back("strategy: " + text);
  all.insert(all.end(), std::begin(kVariants), std::end(kVariants));
  return all;
}

TEST_CASE("every router and strategy gives the same gradients on the device") {
  int compared = 0;
  for (const std::string& variant : variants()) {
    INFO(variant);
    const TrainConfig config = config_of(variant);
    const auto cpu = cpu_run_of(config);
    if (!cpu) continue;
    ++compared;
    const auto device = run_of(config, Precision{}, test::test_device());
    const RandomBatch batch(config, kVocab, 11);
    const StepOutcome expected = cpu->accumulate(batch), outcome = device->accumulate(batch);
    CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-5));
    CHECK(outcome.auxiliary == Approx(expected.auxiliary).epsilon(1e-4).margin(1e-9));
    const auto gradients = named_gradients(*device);
    for (const auto& [name, gradient] : named_gradients(*cpu)) {
      INFO(name);
      CHECK(distance(gradients.at(name), gradient) < 1e-4);
    }
    for (TinyRun* run : {&*cpu, &*device}) run->clear_gradients();
    check_updates(*cpu, *device, batch, 2);
  }
  CHECK(compared > 30);
}

// Rounding may change a few choices of experts, so gradients are not compared one by one.
TEST_CASE("every router and strategy trains in bf16 from the loss of f32") {
  const Precision precision =
      test::on_cpu() ? Precision{.products = Products::bf16} : Precision{.storage = DType::bf16};
  for (const std::string& variant : variants()) {
    INFO(variant);
    const TrainConfig config = config_of(variant);
    const auto cpu = cpu_run_of(config);
    if (!cpu) continue;
    const auto device = run_of(config, precision, test::test_device());
    const RandomBatch batch(config, kVocab, 11);
    for (int64_t i = 0; i < 3; ++i) {
      const StepOutcome expected = cpu->run(batch, i, 3e-3), outcome = device->run(batch, i, 3e-3);
      CHECK(outcome.loss == Approx(expected.loss).epsilon(i == 0 ? 2e-3 : 2e-2));
      CHECK(outcome.norm == Approx(expected.norm).epsilon(0.1));
    }
    for (const Parameter& parameter : device->state.parameters.parameters()) {
      if (parameter.group == ParameterGroup::untrained) CHECK(parameter.value.dtype == DType::f32);
    }
  }
}

static TrainConfig with_optimizer(const std::string& optimizer) {
  TrainConfig config = config_of("router: topk");
  read_config(parse_config(fmt::format("{{optimizer: {}}}", optimizer), "test"), config);
  return config;
}

TEST_CASE("every optimizer updates the same on the device") {
  for (const std::string& optimizer : test::optimizer_variants()) {
    INFO(optimizer);
    const TrainConfig config = with_optimizer(optimizer);
    const auto cpu = run_of(config, Precision{}, Device::cpu);
    const auto device = run_of(config, Precision{}, test::test_device());
    const RandomBatch batch(config, kVocab, 11);
    check_updates(*cpu, *device, batch, 3);
    for (const ParameterGroup group : kTrainedGroups) {
      const size_t kinds = cpu->state.optimizer->state_kinds().size();
      REQUIRE(device->state.optimizer->state_kinds().size() == kinds);
      for (size_t kind = 0; kind < kinds; ++kind) {
        INFO(cpu->state.optimizer->state_kinds()[kind].name);
        std::vector<float> a, b;
        append_floats(cpu->state.ctx, a, cpu->state.optimizer->held(group, kind));
        append_floats(device->state.ctx, b, device->state.optimizer->held(group, kind));
        CHECK(distance({b.begin(), b.end()}, {a.begin(), a.end()}) < 1e-2);
      }
    }
  }
}

// Planning is the step itself without its arithmetic, so all combinations can be asked for their requirements.
TEST_CASE("no router, strategy, balance loss, capacity or optimizer needs the host on a GPU") {
  int planned = 0;
  for (const std::string& router : members<Router>("router: {{kind: {}}}")) {
    for (const std::string& strategy : members<Strategy>("strategy: {{kind: {}}}")) {
      for (const std::string& balance : members<BalanceLoss>("balance: [{}]")) {
        const std::string text = fmt::format("{}, {}, {}", router, strategy, balance);
        INFO(text);
        const TrainConfig config = config_of(text);
        for (const bool trains : {true, false}) {
          try {
            const bool on_host = needs_host(config, trains);
            CHECK_FALSE(on_host);
            ++planned;
          } catch (const UsageError&) {
            break;  // incompatible
          }
        }
      }
    }
  }
  for (const std::string& capacity : members<Capacity>("capacity: {{kind: {}}}")) {
    INFO(capacity);
    const TrainConfig config = config_of(capacity);
    CHECK_FALSE(needs_host(config, true));
  }
  CHECK(planned > 500);
  for (const std::string& optimizer : test::optimizer_variants()) {
    INFO(optimizer);
    const TrainConfig config = with_optimizer(optimizer);
    CHECK_FALSE(needs_host(config, true));
  }
}
