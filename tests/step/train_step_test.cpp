#include "core/step/train_step.h"

#include <omp.h>

#include <cmath>
#include <csignal>
#include <limits>

#include "core/base/integer.h"
#include "core/config/recompute.h"
#include "tests/step/allocation_counter.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static const char* kGolden = R"(
seed: 7
model: {layers: 2, d_model: 32, attention: {heads: 4, kv_heads: 2, qk_norm: true}, dropout: 0.1, init_std: 0.05}
moe: {experts: 4, d_ff: 32, shared_experts: 1}
data: {sequence: 16}
train: {batch: 4, micro_batches: 2}
)";

static double golden_loss(TinyRun& run, int64_t i) {
  return run.run(RandomBatch(run.config, kVocab, 11, static_cast<uint64_t>(i % 5)), i, 3e-3).loss;
}

// Any change of the mathematics, the initial values or the random numbers shows here. If the change is intended,
// replace the values by those that the failing test prints.
TEST_CASE("golden first losses") {
  static constexpr double kLosses[] = {3.402696, 3.364887, 3.398867, 3.444665, 3.372212, 3.042356, 3.104945,
                                       3.135232, 3.202998, 3.201720, 2.905537, 2.971239, 3.015071, 3.071688,
                                       3.059108, 2.771753, 2.824430, 2.845325, 2.886259, 2.857317};
  TinyRun run(config_from(kGolden), kVocab, ProcessGroups::single());
  std::string found;
  bool equal = true;
  for (int64_t i = 0; i < 20; ++i) {
    const double loss = golden_loss(run, i);
    found += fmt::format("{:.6f}, ", loss);
    equal &= i < static_cast<int64_t>(std::size(kLosses)) && std::abs(loss - kLosses[i]) <= 1e-4;
  }
  INFO("losses: " << found);
  CHECK(equal);
}

TEST_CASE("two equal runs give identical bits") {
  TinyRun one(config_from(kGolden), kVocab, ProcessGroups::single()),
      two(config_from(kGolden), kVocab, ProcessGroups::single());
  for (int64_t i = 0; i < 5; ++i) CHECK(golden_loss(one, i) == golden_loss(two, i));
  CHECK(named_values(one) == named_values(two));
}

TEST_CASE("another seed gives another run") {
  TrainConfig other = config_from(kGolden);
  other.seed = 8;
  TinyRun one(config_from(kGolden), kVocab, ProcessGroups::single()), two(other, kVocab, ProcessGroups::single());
  CHECK(golden_loss(one, 0) != golden_loss(two, 0));
}

TEST_CASE("no allocation inside a step after the first") {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    for (const char* yaml :
         {kGolden, "{model: {layers: 2, d_model: 32, arrangement: glam}, data: {sequence: 16}, train: {batch: 4}}",
          "{model: {layers: 2, d_model: 32}, data: {sequence: 16, documents: separate}, train: {batch: 4}}",
          "{model: {layers: 2, d_model: 32, recompute: experts}, data: {sequence: 16}, train: {batch: 4}}",
          "{model: {layers: 2, d_model: 32, recompute: blocks}, data: {sequence: 16}, train: {batch: 4}}",
          "{model: {layers: 2, d_model: 32}, moe: {balance: [{kind: switch, scope: sequence}, {kind: z, scope: "
          "rank}]}, data: {sequence: 16}, train: {batch: 4}}"}) {
      INFO(threads << " threads, " << yaml);
      TinyRun run(config_from(yaml), kVocab, ProcessGroups::single());
      std::vector<RandomBatch> batches;
      for (uint64_t i = 0; i < 5; ++i) batches.emplace_back(run.config, kVocab, 11, i);
      run.run(batches[0], 0, 1e-3);
      CHECK(allocations_during([&] {
              for (int64_t i = 1; i < 5; ++i) run.run(batches[as_index(i)], i, 1e-3);
            }) == 0);
    }
  }
  omp_set_num_threads(before);
  CHECK(allocations_during([] { ::operator delete(::operator new(1)); }) == 1);  // the counter itself works
}

TEST_CASE("the gradient of a step with separate documents equals central differences") {
  for (const char* documents : {"separate", "fit"}) {
    INFO(documents);
    TrainConfig config = config_from(
        fmt::format("{{model: {{layers: 1, d_model: 8, attention: {{heads: 2}}, init_std: 0.3}}, moe: {{experts: 2, "
                    "d_ff: 8, router: "
                    "{{k: 2}}}}, data: {{sequence: 9, documents: {}}}, train: {{batch: 4, micro_batches: 2}}}}",
                    documents));
    TinyRun run(config, 7, ProcessGroups::single(), DType::f64);
    const RandomBatch batch(config, 7, 3);
    run.clear_gradients();
    run.accumulate(batch);
    const auto gradients = named_gradients(run);
    double* const weights = run.state.parameters.buffer(ParameterGroup::shared).value.as<double>();
    double* const stored = run.state.parameters.buffer(ParameterGroup::shared).gradient.as<double>();
    std::vector<double> found(stored, stored + 200);
    for (size_t i = 0; i < found.size(); i += 7) {
      constexpr double kStep = 1e-5;
      const double before = weights[i];
      const auto loss_at = [&](double value) {
        weights[i] = value;
        run.clear_gradients();
        const StepOutcome outcome = run.accumulate(batch);
        return outcome.loss + outcome.auxiliary;
      };
      const double difference = (loss_at(before + kStep) - loss_at(before - kStep)) / (2 * kStep);
      weights[i] = before;
      CHECK(found[i] == Approx(difference).epsilon(1e-5).margin(1e-8));
    }
  }
}

TEST_CASE("a step that is not finite changes no parameter") {
  TinyRun run(config_from(kGolden), kVocab, ProcessGroups::single());
  float* weights = run.state.parameters.buffer(ParameterGroup::shared).value.as<float>();
  weights[0] = std::numeric_limits<float>::quiet_NaN();
  const auto before = named_values(run);
  const StepOutcome outcome = run.run(RandomBatch(run.config, kVocab, 11), 0, 1e-3);
  CHECK_FALSE(outcome.finite());
  weights[0] = 0;
  auto after = named_values(run), expected = before;
  expected.at("embedding.weight")[0] = 0;
  CHECK(after == expected);
}

TEST_CASE("a signal is forwarded, SIGINT before SIGTERM") {
  TinyRun run(config_from(kGolden), kVocab, ProcessGroups::single());
  const RandomBatch batch(run.config, kVocab, 11);
  for (const int signal : {0, SIGINT, SIGTERM})
    CHECK(run.step.accumulate(batch.share(*run.groups.world), 0, signal).signal == signal);
}

TEST_CASE("the memory plan equals what a step uses") {
  for (const char* yaml : {kGolden,
                           "{model: {layers: 2, d_model: 32}, data: {sequence: 16, documents: separate}, train: "
                           "{batch: 4, micro_batches: 2}}",
                           "{model: {layers: 2, d_model: 32}, data: {sequence: 16, documents: fit}, train: {batch: 4}}",
                           "{model: {layers: 3, d_model: 24, arrangement: glam}, moe: {experts: 5}, data: {sequence: "
                           "16}, train: {batch: 3}}"}) {
    for (const std::string& recompute : recompute_values()) {
      INFO(yaml << ", " << recompute);
      TrainConfig config = config_from(yaml);
      config.model.recompute = recompute;
      TinyRun run(config, kVocab, ProcessGroups::single());
      const MemoryPlan plan = plan_memory({run.config, kVocab, run.groups});
      run.run(RandomBatch(run.config, kVocab, 11), 0, 1e-3);
      CHECK(run.state.activations().peak() == plan.activations);
      CHECK(run.state.scratch().peak() == plan.scratch);
      CHECK(run.state.used_bytes() == plan.total());
    }
  }
}
