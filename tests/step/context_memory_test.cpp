// A model with a context memory of preceding segments, in training, evaluation, checkpoints and generated text.
#include "core/nn/context_memory.h"
#include "core/base/integer.h"
#include "core/config/recompute.h"

#include <algorithm>
#include <numeric>

#include "core/checkpoint/tensor_file.h"
#include "core/evaluate/evaluator.h"
#include "core/generate/generate.h"
#include "core/step/memory_state.h"
#include "data/evaluation_streams.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 13;

static TrainConfig config_with(const std::string& attention, const std::string& train = "{batch: 4}") {
  return config_from(
      fmt::format("{{model: {{layers: 2, d_model: 16, init_std: 0.3, attention: {{heads: 4, kv_heads: 2, {}}}}}, moe: "
                  "{{experts: 4, "
                  "d_ff: 8}}, curriculum: {{sampler: contiguous}}, data: {{sequence: 60}}, train: {}}}",
                  attention, train));
}

static std::vector<int32_t> some_text(int64_t tokens) {
  const RandomKey key{3, RandomPurpose::test, 0, 0};
  std::vector<int32_t> text;
  for (int64_t i = 0; i < tokens; ++i)
    text.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % uint64_t{kVocab}));
  return text;
}

TEST_CASE("evaluation in segments with a context memory equals evaluation in one piece with a sliding window") {
  const std::vector<int32_t> text = some_text(61);
  Split split("test");
  split.append(text);
  for (const char* position : {"position: rope", "position: none", "position: relative"}) {
    for (const int64_t memory : {1, 5, 16, 100}) {
      INFO(position << ", memory " << memory);
      TinyRun run(config_with(fmt::format("{}, memory: {}", position, memory)), kVocab, ProcessGroups::single());
      const auto nll = [&](int64_t context) {
        return evaluate(run.state, run.groups, EvaluationStreams(split, context, 1, memory), 1).nll();
      };
      const double whole = nll(60);
      for (const int64_t context : {1, 4, 7, 20, 59}) CHECK(nll(context) == Approx(whole).epsilon(1e-5));
    }
  }
}

TEST_CASE("evaluation in streams does not depend on the number computed at a time") {
  const std::vector<int32_t> text = some_text(300);
  Split split("test");
  split.append(text);
  TinyRun run(config_with("memory: 20"), kVocab, ProcessGroups::single());
  const auto nll = [&](int64_t sequences, int64_t streams) {
    return evaluate(run.state, run.groups, EvaluationStreams(split, 8, streams, 20), sequences).nll();
  };
  for (const int64_t sequences : {1, 2, 3}) CHECK(nll(sequences, 5) == Approx(nll(4, 5)).epsilon(1e-6));
  CHECK(nll(4, 5) != nll(4, 1));
  CHECK(run.state.memory.filled() == 0);  // training has a separate memory
}

TEST_CASE("training with a context memory: micro-batches equal a single batch, and a new start clears it") {
  for (const char* position : {"rope", "relative"}) {
    const std::string attention = fmt::format("memory: 90, position: {}", position);
    TinyRun whole(config_with(attention), kVocab, ProcessGroups::single(), DType::f64),
        parts(config_with(attention, "{batch: 4, micro_batches: 3}"), kVocab, ProcessGroups::single(), DType::f64);
    std::vector<double> losses;
    for (int64_t i = 0; i < 4; ++i) {
      const RandomBatch batch(whole.config, kVocab, 5, static_cast<uint64_t>(i));
      const double loss = whole.run(batch, i, 1e-2).loss;
      CHECK(parts.run(batch, i, 1e-2).loss == Approx(loss).epsilon(1e-9));
    }
    CHECK(whole.state.memory.filled() == 90);
    const RandomBatch batch(whole.config, kVocab, 6);
    LocalBatch local = batch.share(*whole.groups.world);
    const double remembering = whole.step.accumulate(local, 0, 0).loss;
    local.begins = true;
    const double beginning = whole.step.accumulate(local, 0, 0).loss;
    CHECK(beginning != remembering);
    CHECK(whole.step.accumulate(local, 0, 0).loss == beginning);
    CHECK(whole.state.memory.filled() == 60);
  }
}

TEST_CASE("the gradient of a step with a context memory equals central differences") {
  TinyRun run(config_with("memory: 7, position: relative"), kVocab, ProcessGroups::single(), DType::f64);
  run.config.data.sequence = 5;
  for (MoELayer* layer : run.state.model->moe_layers()) CHECK(layer->num_experts() == 4);
  run.accumulate(RandomBatch(run.config, kVocab, 1));
  REQUIRE(run.state.memory.filled() == 5);
  const RandomBatch batch(run.config, kVocab, 2);
  // Every call reads the same memory, so the entries that a step adds are removed again.
  const std::vector<NamedTensor> rows = memory_tensors(run.state.memory, 0);
  std::vector<std::vector<double>> kept;
  for (const NamedTensor& row : rows)
    kept.emplace_back(row.tensor.as<double>(), row.tensor.as<double>() + row.tensor.size());
  const auto objective = [&] {
    run.clear_gradients();
    run.state.memory.clear();
    run.state.memory.advance(5);
    for (size_t i = 0; i < rows.size(); ++i) std::copy(kept[i].begin(), kept[i].end(), rows[i].tensor.as<double>());
    const StepOutcome outcome = run.accumulate(batch);
    return outcome.loss + outcome.auxiliary;
  };
  objective();
  const auto gradients = named_gradients(run);
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find("relative") == std::string::npos && p.name.find("qkv") == std::string::npos) continue;
    const std::vector<double>& gradient = gradients.at(p.name);
    for (int64_t i = 0; i < p.value.size(); i += std::max<int64_t>(1, p.value.size() / 6)) {
      INFO(p.name << " " << i);
      double& value = p.value.as<double>()[i];
      const double before = value, h = 2e-5;
      const auto at = [&](double offset) {
        value = before + offset;
        const double result = objective();
        value = before;
        return result;
      };
      const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      CHECK(gradient[as_index(i)] == Approx(numeric).epsilon(1e-5).margin(1e-8));
    }
  }
}

TEST_CASE("a context memory is restored from files of any rows") {
  const TemporaryFolder folder;
  TinyRun run(config_with("memory: 80"), kVocab, ProcessGroups::single());
  run.accumulate(RandomBatch(run.config, kVocab, 1));
  const std::vector<NamedTensor> all = memory_tensors(run.state.memory, 0);
  REQUIRE(all.size() == 8);
  CHECK(all[0].tensor.shape == (Shape{60, 16}));
  std::vector<NamedTensor> first, second;
  for (size_t i = 0; i < all.size(); ++i) (i % 4 < 3 ? first : second).push_back(all[i]);
  write_tensor_file(folder / "memory-00001-of-00002.safetensors", first);
  write_tensor_file(folder / "memory-00002-of-00002.safetensors", second);
  ContextMemory rows(run.state.ctx, run.state.memory.shape(), 2);  // rows 1 and 2
  restore_memory(rows, 1, 60, folder.path());
  const std::vector<NamedTensor> restored = memory_tensors(rows, 1);
  REQUIRE(restored.size() == 4);
  for (size_t i = 0; i < restored.size(); ++i) {
    const Tensor expected = all[i / 2 * 4 + 1 + i % 2].tensor, found = restored[i].tensor;
    CHECK(std::equal(found.as<float>(), found.as<float>() + found.size(), expected.as<float>()));
  }
  CHECK_THROWS_AS(restore_memory(rows, 1, 59, folder.path()), CheckpointError);
  CHECK_THROWS_AS(restore_memory(rows, 3, 60, folder.path()), CheckpointError);
  CHECK_NOTHROW(restore_memory(rows, 3, 0, folder.path()));
}

TEST_CASE("generated text does not depend on where its segments end") {
  TinyRun run(config_with("memory: 30, position: relative"), kVocab, ProcessGroups::single());
  const auto text = [&](int64_t chunk) {
    return generate(run.state, some_text(23), {.tokens = 30, .seed = 4, .reader = {.chunk = chunk}});
  };
  const std::vector<int32_t> whole = text(60);
  for (const int64_t context : {1, 5, 23}) CHECK(text(context) == whole);
}

TEST_CASE("generated text that is stopped ends after the token in work") {
  TinyRun run(config_with("memory: 30, position: relative"), kVocab, ProcessGroups::single());
  GenerateOptions options{.tokens = 30, .seed = 4, .reader = {.chunk = 5}};
  const std::vector<int32_t> whole = generate(run.state, some_text(23), options);
  int asked = 0;
  options.stop = [&] { return ++asked == 8; };
  const std::vector<int32_t> begin = generate(run.state, some_text(23), options);
  CHECK(asked == 8);
  CHECK(begin == std::vector<int32_t>(whole.begin(), whole.begin() + 7));
}

TEST_CASE("the memory plan equals what a step with a context memory uses") {
  for (const char* attention : {"memory: 7", "memory: 80, position: relative"}) {
    for (const std::string& recompute : recompute_values()) {
      INFO(attention << ", " << recompute);
      TrainConfig config = config_with(attention);
      config.model.recompute = recompute;
      TinyRun run(config, kVocab, ProcessGroups::single());
      const MemoryPlan plan = plan_memory({run.config, kVocab, run.groups});
      for (int64_t i = 0; i < 3; ++i) run.run(RandomBatch(run.config, kVocab, 11), i, 1e-3);
      CHECK(run.state.activations().peak() == plan.activations);
      CHECK(run.state.scratch().peak() == plan.scratch);
      CHECK(run.state.memory.bytes() == plan.memory);
      CHECK(run.state.used_bytes() + plan.evaluation_memory == plan.total());
    }
  }
}

TEST_CASE("an invalid context memory is refused") {
  const auto build = [](const std::string& yaml) {
    const TrainConfig config = config_from(yaml);
    SampleShape sample(kVocab);
    sample.classes = 3;
    summarise(config, sample);
  };
  CHECK_NOTHROW(build("{model: {attention: {memory: 8}}, curriculum: {sampler: contiguous}}"));
  CHECK_THROWS_AS(build("{model: {attention: {memory: 8}}}"), UsageError);
  CHECK_THROWS_AS(build("{model: {attention: {memory: 8}}, curriculum: {sampler: buckets}}"), UsageError);
  CHECK_THROWS_AS(build("{model: {attention: {memory: 8, position: learned}}, curriculum: {sampler: contiguous}}"),
                  UsageError);
  CHECK_THROWS_AS(build("{model: {attention: {position: relative}}}"), UsageError);
  CHECK_THROWS_AS(build("{task: classify, model: {attention: {memory: 8}}, curriculum: {sampler: contiguous}}"),
                  UsageError);
}
