// Whole training steps on the tested device, compared with the CPU.
#include <cmath>
#include <utility>
#include <vector>

#include "comm/staged_communicator.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/recompute.h"
#include "core/lifecycle/moved_experts.h"
#include "core/lifecycle/moved_tensors.h"
#include "tests/support/catch.h"
#include "tests/support/random_map.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static const char* kModels[] = {
    R"(
model: {layers: 2, d_model: 32, attention: {heads: 4, kv_heads: 2, qk_norm: true}, dropout: 0.1, init_std: 0.05}
moe: {experts: 4, d_ff: 24, shared_experts: 1}
data: {sequence: 16}
train: {batch: 4, micro_batches: 2}
)",
    R"(
model: {layers: 2, d_model: 24, arrangement: glam, activation: gelu_tanh, attention: {heads: 3, position: learned}, init_std: 0.05}
moe: {experts: 5, d_ff: 33, router: {kind: topk, k: 1, softmax: all, renormalise: false}, balance: [{kind: switch, scope: sequence}, z]}
data: {sequence: 19}
train: {batch: 3}
)",
    R"(
model: {layers: 2, d_model: 24, norm: layer, norm_place: post_twice, bias: {attention: all, feed_forward: true, head: true, router: true}, attention: {heads: 3, position: relative, memory: 21}, init_std: 0.05}
moe: {experts: 4, d_ff: 24}
curriculum: {sampler: contiguous}
data: {sequence: 16}
train: {batch: 3}
)",
    R"(
model: {layers: 2, d_model: 24, vocab_size: 33, attention: {heads: 4, kv_heads: 2, qk_norm: full, rope_scaling: {kind: llama3, original_max_position: 16}, memory: 9, dropout: 0.2}, init_std: 0.05}
moe: {experts: 4, d_ff: 24, shared_experts: 2, shared_gate: true}
curriculum: {sampler: contiguous}
data: {sequence: 16}
train: {batch: 4, micro_batches: 2}
)",
    R"(
model: {layers: 2, d_model: 32, attention: {heads: 4, kv_heads: 2, dropout: 0.1}, init_std: 0.05}
moe: {experts: 4, d_ff: 24}
data: {sequence: 40, documents: separate}
train: {batch: 4, micro_batches: 2}
)",
    R"(
model: {layers: 1, d_model: 24, attention: {heads: 3, position: learned}, init_std: 0.05}
moe: {experts: 4, d_ff: 24, balance: [{kind: switch, scope: sequence}, z]}
data: {sequence: 19, documents: fit}
train: {batch: 3}
)",
    R"(
task: classify
model: {layers: 2, d_model: 32, pooling: class_token, dropout: 0.1, init_std: 0.05, attention: {heads: 4, causal: false, position: learned, dropout: 0.2}}
moe: {experts: 4, d_ff: 24}
data: {sequence: 16}
train: {batch: 4, micro_batches: 2, label_smoothing: 0.1}
)",
    R"(
task: classify
model: {layers: 2, d_model: 24, pooling: mean, activation: gelu_tanh, init_std: 0.05, attention: {heads: 3, causal: false}}
moe: {experts: 5, d_ff: 33, balance: [{kind: switch, scope: sequence}, z]}
data: {sequence: 19}
train: {batch: 3}
)",
    R"(
task: classify
model: {layers: 1, d_model: 24, pooling: mean, bias: true, init_std: 0.05, attention: {heads: 3, causal: false, position: learned}}
moe: {experts: 4, d_ff: 24}
data: {sequence: 20, labelled: {format: sound_folders}}
train: {batch: 3}
)",
    R"(
task: classify
model: {layers: 1, d_model: 24, pooling: class_token, head: tanh, init_std: 0.05, attention: {heads: 3}}
moe: {experts: 4, d_ff: 24}
data: {sequence: 16, labelled: {format: tsv}}
train: {batch: 3}
)",
    R"(
task: pairs
model: {layers: 2, d_model: 32, dropout: 0.1, init_std: 0.05, attention: {heads: 4, causal: false, position: learned}, contrast: {width: 24}}
moe: {experts: 4, d_ff: 24, modality_bias: true, balance: [{kind: entropy_local, modality: second}, {kind: entropy_global, modality: first}, {kind: switch, scope: sequence, modality: second}]}
data: {sequence: 12}
train: {batch: 5, micro_batches: 2}
)",
    R"(
task: pairs
model: {layers: 1, d_model: 24, pooling: last, bias: true, init_std: 0.05, attention: {heads: 3}, contrast: {learn_temperature: false}}
moe: {experts: 5, d_ff: 33}
data: {sequence: 19}
train: {batch: 6}
)",
    R"(
task: pairs
model: {layers: 1, d_model: 24, init_std: 0.05, attention: {heads: 3, causal: false, position: learned}}
moe: {experts: 4, d_ff: 24, modality_bias: true}
data: {sequence: 13, labelled: {format: sound_folders}}
train: {batch: 5, micro_batches: 2}
)"};

TEST_CASE("the compared models are of every task and kind of samples") {
  std::vector<TrainConfig> configs;
  for (const char* yaml : kModels) configs.push_back(config_from(yaml));
  CHECK(missing_tasks(configs) == std::vector<std::string>{});
}

TEST_CASE("samples' signals and weights on the device equal the CPU's") {
  bool is_bayesian = false;
  for (const char* yaml : kModels) {
    INFO(yaml);
    TrainConfig config = config_from(yaml);
    is_bayesian = !is_bayesian;
    if (is_bayesian) config.moe.router.select("bayesian");
    // With a context memory samples are read in order.
    if (config.model.attention.memory == 0) config.curriculum.sampler.select("importance");
    for (double& weight : config.curriculum.signals.weight) weight = 1;
    config.curriculum.signals.weight[index_of(SampleSignal::router_uncertainty)] = is_bayesian;  // others have none
    TinyRun cpu(config, kVocab, ProcessGroups::single());
    TinyRun device(config, kVocab, ProcessGroups::single(), DType::f32, test::test_device());
    RandomBatch batch(config, kVocab, 11);
    batch.weights = {0.25, 2, 1, 0.5};
    batch.weights.resize(static_cast<size_t>(config.train.batch));
    cpu.accumulate(batch);
    device.accumulate(batch);
    const auto expected = cpu.step.sample_signals(), found = device.step.sample_signals();
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      INFO(kSampleSignals[i % kNumMeasuredSignals].name << " of sample " << i / kNumMeasuredSignals);
      CHECK(found[i] == Approx(expected[i]).epsilon(2e-4).margin(1e-7));
    }
    const auto gradients = named_gradients(device);
    for (const auto& [name, gradient] : named_gradients(cpu)) {
      INFO(name);
      CHECK(distance(gradients.at(name), gradient) < 1e-4);
    }
  }
}

TEST_CASE("gradients of a training step on the device equal the CPU's") {
  for (const char* yaml : kModels) {
    INFO(yaml);
    TinyRun cpu(config_from(yaml), kVocab, ProcessGroups::single());
    TinyRun device(config_from(yaml), kVocab, ProcessGroups::single(), DType::f32, test::test_device());
    CHECK(named_values(cpu) == named_values(device));  // initial values do not depend on the backend
    const RandomBatch batch(cpu.config, kVocab, 11);
    const StepOutcome expected = cpu.accumulate(batch), outcome = device.accumulate(batch);
    CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-5));
    CHECK(outcome.norm == Approx(expected.norm).epsilon(1e-4));
    CHECK(outcome.auxiliary == Approx(expected.auxiliary).epsilon(1e-5));
    CHECK(outcome.tokens == expected.tokens);
    const auto gradients = named_gradients(device);
    for (const auto& [name, gradient] : named_gradients(cpu)) {
      INFO(name);
      CHECK(distance(gradients.at(name), gradient) < 1e-4);
    }
  }
}

TEST_CASE("losses of training on the device follow the CPU's") {
  for (const char* yaml : kModels) {
    INFO(yaml);
    TinyRun cpu(config_from(yaml), kVocab, ProcessGroups::single());
    TinyRun device(config_from(yaml), kVocab, ProcessGroups::single(), DType::f32, test::test_device());
    for (int64_t i = 0; i < 6; ++i) {
      const RandomBatch batch(cpu.config, kVocab, 11, static_cast<uint64_t>(i % 2));
      const double expected = cpu.run(batch, i, 3e-3).loss;
      CHECK(device.run(batch, i, 3e-3).loss == Approx(expected).epsilon(1e-3));
    }
  }
}

TEST_CASE("bf16 training starts at the loss of f32 and learns") {
  if (test::on_cpu()) return;  // the CPU computes in f32
  for (const char* yaml : kModels) {
    INFO(yaml);
    TinyRun cpu(config_from(yaml), kVocab, ProcessGroups::single());
    TinyRun device(config_from(yaml), kVocab, ProcessGroups::single(), DType::bf16, test::test_device());
    const RandomBatch batch(cpu.config, kVocab, 11);
    // The logits of pairs are cosines of vectors over the temperature. Elements of both vectors are rounded by up to
    // 2^-9 of themselves, which moves a cosine by up to 2^-8.
    const double rounding = cpu.config.task == "pairs" ? 0x1p-8 / cpu.config.model.contrast.temperature : 0;
    for (int64_t i = 0; i < 8; ++i) {
      const double expected = cpu.run(batch, i, 3e-3).loss;
      CHECK(device.run(batch, i, 3e-3).loss == Approx(expected).epsilon(i == 0 ? 1e-3 : 2e-2).margin(rounding));
    }
  }
}

TEST_CASE("expert-parallel ranks on the device equal a single rank") {
  TrainConfig config = config_from(kModels[0]);
  TinyRun cpu(config, kVocab, ProcessGroups::single());
  const RandomBatch batch(config, kVocab, 11);
  const StepOutcome expected = cpu.accumulate(batch);
  for (const auto& [expert_parallel, overlap] : {std::pair(1, 1), std::pair(2, 1), std::pair(2, 2)}) {
    config.parallel.overlap = overlap;
    StepOutcome outcome;
    test::run_ranks(2, [&, width = expert_parallel](std::shared_ptr<Communicator> world) {
      const auto staged = std::make_shared<StagedCommunicator>(world);
      TinyRun rank(config, kVocab, ProcessGroups::make(staged, width, 4), DType::f32, test::test_device());
      const StepOutcome own = rank.accumulate(batch);
      if (world->rank() == 0) outcome = own;
    });
    CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-5));
    CHECK(outcome.norm == Approx(expected.norm).epsilon(1e-4));
  }
}

TEST_CASE("rows that travel in two stages between hosts on the device give what a single rank gives") {
  TrainConfig config = config_from(kModels[0]);
  TinyRun cpu(config, kVocab, ProcessGroups::single());
  const RandomBatch batch(config, kVocab, 11);
  const StepOutcome expected = cpu.accumulate(batch);
  config.parallel.all_to_all = "hierarchical";
  for (const double dropout : {0.0, 1e-9}) {  // with any dropout of outputs, single rows return
    config.moe.dropout = dropout;
    for (const std::vector<int>& hosts : {std::vector{0, 1}, std::vector{0, 0, 1, 1}}) {
      const auto ranks = static_cast<int>(hosts.size());
      config.parallel.overlap = ranks / 2;
      StepOutcome outcome;
      test::run_ranks(
          ranks,
          [&](std::shared_ptr<Communicator> world) {
            const auto staged = std::make_shared<StagedCommunicator>(world);
            TinyRun rank(config, kVocab, ProcessGroups::make(staged, ranks, 4), DType::f32, test::test_device());
            const StepOutcome own = rank.accumulate(batch);
            if (world->rank() == 0) outcome = own;
          },
          hosts);
      CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-5));
      CHECK(outcome.norm == Approx(expected.norm).epsilon(1e-4));
    }
  }
}

TEST_CASE("experts that moved between ranks on the device train as before") {
  TrainConfig config = config_from(kModels[0]);
  config.parallel.placement.select("co_activation");
  TinyRun cpu(config, kVocab, ProcessGroups::single());
  const RandomBatch batch(config, kVocab, 11);
  std::vector<double> expected;
  for (int64_t i = 0; i < 3; ++i) expected.push_back(cpu.run(batch, i, 3e-3).loss);
  for (const DType dtype : {DType::f32, test::on_cpu() ? DType::f32 : DType::bf16}) {
    std::vector<double> losses;
    int equal = 0;
    test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
      const auto staged = std::make_shared<StagedCommunicator>(world);
      TinyRun rank(config, kVocab, ProcessGroups::make(staged, 2, 4), dtype, test::test_device());
      TinyRun still(config, kVocab, ProcessGroups::make(staged, 2, 4), dtype, test::test_device());
      for (int64_t i = 0; i < 3; ++i) {
        const double loss = rank.run(batch, i, 3e-3).loss, same = still.run(batch, i, 3e-3).loss;
        if (world->rank() == 0) losses.push_back(loss), equal += std::abs(loss - same) <= 1e-5 * same;
        for (MoELayer* layer : rank.state.model->moe_layers()) {
          move_experts(rank.state, rank.groups, *layer, test::random_map(4, 2, static_cast<uint64_t>(i)));
        }
      }
    });
    CHECK(equal == 3);
    for (size_t i = 0; i < losses.size(); ++i) {
      CHECK(losses[i] == Approx(expected[i]).epsilon(dtype == DType::f32 ? 1e-4 : 2e-2));
    }
  }
}

TEST_CASE("copies of experts on other ranks train on the device as on the CPU without them") {
  TrainConfig config = config_from(kModels[0]);
  TinyRun cpu(config, kVocab, ProcessGroups::single());
  config.parallel.placement.select("load");
  config.parallel.replicas = 1;
  const RandomBatch batch(config, kVocab, 11);
  std::vector<double> expected;
  for (int64_t i = 0; i < 4; ++i) expected.push_back(cpu.run(batch, i, 3e-3).loss);
  for (const DType dtype : {DType::f32, test::on_cpu() ? DType::f32 : DType::bf16}) {
    std::vector<double> losses;
    test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
      const auto staged = std::make_shared<StagedCommunicator>(world);
      TinyRun rank(config, kVocab, ProcessGroups::make(staged, 2, 4), dtype, test::test_device());
      for (int64_t i = 0; i < 4; ++i) {
        for (MoELayer* layer : rank.state.model->moe_layers()) {
          layer->replicate(test::random_replicas(layer->expert_map(), 1, static_cast<uint64_t>(i)));
          layer->update_copies(rank.state.ctx);
        }
        const double loss = rank.run(batch, i, 3e-3).loss;
        if (world->rank() == 0) losses.push_back(loss);
      }
    });
    REQUIRE(losses.size() == 4);
    for (size_t i = 0; i < losses.size(); ++i) {
      CHECK(losses[i] == Approx(expected[i]).epsilon(dtype == DType::f32 ? 1e-4 : 2e-2));
    }
  }
}

TEST_CASE("checkpoints move between devices") {
  const TemporaryFolder folder;
  TinyRun cpu(config_from(kModels[0]), kVocab, ProcessGroups::single());
  const RandomBatch batch(cpu.config, kVocab, 11);
  const CheckpointFolder checkpoints(folder.path());
  for (const DType dtype : {DType::f32, test::on_cpu() ? DType::f32 : DType::bf16}) {
    TinyRun device(cpu.config, kVocab, ProcessGroups::single(), dtype, test::test_device());
    RunState state;
    for (state.step = 0; state.step < 2; ++state.step) device.run(batch, state.step, 3e-3);
    checkpoints.save(state, device.state.parameters, *device.state.optimizer, device.groups, {});
    load_tensors(checkpoints.path(2), cpu.state.parameters, cpu.state.optimizer.get());
    TinyRun again(cpu.config, kVocab, ProcessGroups::single(), dtype, test::test_device());
    load_tensors(checkpoints.path(2), again.state.parameters, again.state.optimizer.get());
    CHECK(named_values(again) == named_values(device));
    const double next = device.run(batch, 2, 3e-3).loss;
    CHECK(again.run(batch, 2, 3e-3).loss == next);
    CHECK(cpu.run(batch, 2, 3e-3).loss == Approx(next).epsilon(dtype == DType::f32 ? 1e-4 : 1e-2));
  }
}

TEST_CASE("expert events on the device equal those on the CPU") {
  const TemporaryFolder folder;
  const TrainConfig config = config_from(kModels[0]);
  const RandomBatch batch(config, kVocab, 11);
  const CheckpointFolder checkpoints(folder.path());
  const std::vector<int64_t> sources{3, 0};
  ExpertChange change{"grow", {{4, 1}, {4, 1}}, {{6, 1}, {6, 1}}, 0.1, 0.1, {}};
  change.mappings.assign(2, growing(4, sources, true));
  for (const DType dtype : {DType::f32, test::on_cpu() ? DType::f32 : DType::bf16}) {
    TinyRun device(config, kVocab, ProcessGroups::single(), dtype, test::test_device());
    RunState state;
    for (state.step = 0; state.step < 2; ++state.step) device.run(batch, state.step, 3e-3);
    checkpoints.save(state, device.state.parameters, *device.state.optimizer, device.groups, {});
    TinyRun cpu(config, kVocab, ProcessGroups::single());
    load_tensors(checkpoints.path(2), cpu.state.parameters, cpu.state.optimizer.get());

    const TrainConfig grown = with_experts(config, change.after);
    TinyRun next(grown, kVocab, ProcessGroups::single(), dtype, test::test_device());
    TinyRun expected(grown, kVocab, ProcessGroups::single());
    MovedTensors(device.state, device.groups, next.groups, change, 2).write_to(next.state);
    MovedTensors(cpu.state, cpu.groups, expected.groups, change, 2).write_to(expected.state);
    const auto values = named_values(next);
    for (const auto& [name, x] : named_values(expected)) {
      INFO(name);
      CHECK(distance(values.at(name), x) <= (dtype == DType::f32 ? 0 : 4e-3));
    }
    const double loss = expected.run(batch, 2, 3e-3).loss;
    CHECK(next.run(batch, 2, 3e-3).loss == Approx(loss).epsilon(dtype == DType::f32 ? 1e-4 : 1e-2));
  }
}

TEST_CASE("two equal runs on the device give identical bits") {
  for (const DType dtype : {DType::f32, test::on_cpu() ? DType::f32 : DType::bf16}) {
    TinyRun one(config_from(kModels[0]), kVocab, ProcessGroups::single(), dtype, test::test_device());
    TinyRun two(config_from(kModels[0]), kVocab, ProcessGroups::single(), dtype, test::test_device());
    for (int64_t i = 0; i < 2; ++i) {
      const RandomBatch batch(one.config, kVocab, 11, static_cast<uint64_t>(i));
      CHECK(one.run(batch, i, 3e-3).loss == two.run(batch, i, 3e-3).loss);
    }
    CHECK(named_values(one) == named_values(two));
  }
}

TEST_CASE("a device without enough memory is refused with what every part needs") {
  if (test::on_cpu()) return;
  const TrainConfig config = config_from(kModels[0]);
  const ProcessGroups groups = ProcessGroups::single();
  const StateSetup setup{.config = config,
                         .sample = tiny_shape(config, kVocab),
                         .groups = groups,
                         .run = {1, 1, 1},
                         .device = test::test_device()};
  MemoryPlan plan = plan_memory(setup);
  plan.worst_activations = size_t{1} << 50;
  CHECK_THROWS_WITH(TrainingState(setup, plan, false), Catch::Contains("activations 1024.0 TiB") &&
                                                           Catch::Contains("scratch") && Catch::Contains("are free"));
}

TEST_CASE("the memory plan of a device equals what a step uses") {
  for (const char* yaml : kModels) {
    for (const std::string& recompute : recompute_values()) {
      INFO(yaml << ", " << recompute);
      TrainConfig config = config_from(yaml);
      config.model.recompute = recompute;
      TinyRun run(config, kVocab, ProcessGroups::single(), DType::f32, test::test_device());
      const MemoryPlan plan = plan_memory({.config = run.config,
                                           .sample = tiny_shape(run.config, kVocab),
                                           .groups = run.groups,
                                           .run = {1, 1, 1},
                                           .precision = {.storage = DType::f32},
                                           .device = test::test_device()});
      run.run(RandomBatch(run.config, kVocab, 11), 0, 1e-3);
      CHECK(run.state.activations().peak() == plan.activations);
      CHECK(run.state.scratch().peak() == plan.scratch);
      CHECK(run.state.used_bytes() + plan.evaluation_memory == plan.total());
    }
  }
}
