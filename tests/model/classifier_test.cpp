#include "core/model/classifier.h"

#include <algorithm>
#include <cmath>

#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kClasses = 7;

static TrainConfig with(const std::string& yaml) {
  ConfigNode root = parse_config(
      "{task: classify, model: {layers: 2, d_model: 16, init_std: 0.3, attention: {heads: 2, causal: false, position: "
      "learned}}, moe: {experts: 4, d_ff: 16}, data: {sequence: 9}, train: {batch: 5}}",
      "base");
  merge_config(root, parse_config(yaml, "case"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

static const char* kVariants[] = {"{}", "model: {pooling: class_token}", "model: {attention: {causal: true}}"};

static std::vector<double> logits(TinyRun& run, const RandomBatch& batch) {
  Context& ctx = run.state.ctx;
  ctx.training = false;
  ctx.activations->reset();
  ctx.scratch->reset();
  BatchBuffers buffers;
  run.state.model->forward(ctx, to_device(ctx, batch.share(*run.groups.world), {0, batch.sequences}, 1, buffers));
  const Tensor result = run.state.model->logits(ctx, 0, batch.sequences);
  ctx.training = true;
  return {result.as<double>(), result.as<double>() + result.size()};
}

TEST_CASE("every patch affects its own image's logits and no other's") {
  for (const char* yaml : kVariants) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single(), DType::f64);
    RandomBatch batch(run.config, kClasses, 3);
    const std::vector<double> before = logits(run, batch);
    REQUIRE(before.size() == 5 * kClasses);
    for (size_t patch = 0; patch < 9; ++patch) {
      float& number = batch.features[(9 * 2 + patch) * 6 + 1];  // of image 2
      number += 1;
      const std::vector<double> after = logits(run, batch);
      number -= 1;
      double change = 0;
      for (size_t i = 0; i < after.size(); ++i) {
        if (i / kClasses == 2)
          change = std::max(change, std::abs(after[i] - before[i]));
        else
          CHECK(after[i] == Approx(before[i]).epsilon(1e-12));
      }
      CHECK(change > 1e-4);
    }
  }
}

TEST_CASE("a classifier's loss is the mean of -ln softmax of its logits over the images, with and without smoothing") {
  for (const char* yaml : kVariants) {
    TinyRun run(with(yaml), kClasses, ProcessGroups::single(), DType::f64);
    const RandomBatch batch(run.config, kClasses, 8);
    const std::vector<double> z = logits(run, batch);
    double expected = 0, correct = 0;
    for (size_t s = 0; s < 5; ++s) {
      const auto row = z.begin() + static_cast<std::ptrdiff_t>(s * kClasses), end = row + kClasses;
      double total = 0;
      for (auto it = row; it != end; ++it) total += std::exp(*it);
      expected -= std::log(std::exp(row[batch.labels[s]]) / total) / 5;
      correct += std::max_element(row, end) - row == batch.labels[s];
    }
    const StepOutcome outcome = run.accumulate(batch);
    CHECK(outcome.loss == Approx(expected).epsilon(1e-12));
    CHECK(outcome.accuracy == correct / 5);
    CHECK(outcome.tokens == static_cast<double>(batch.targets.size()));
    TrainConfig smoothed = run.config;
    smoothed.train.label_smoothing = 0.3;
    TinyRun other(smoothed, kClasses, ProcessGroups::single(), DType::f64);
    const StepOutcome second = other.accumulate(batch);
    CHECK(second.loss == outcome.loss);
    CHECK(second.norm != outcome.norm);
  }
}

TEST_CASE("an image's signals do not depend on the other images in the batch") {
  for (const char* yaml : kVariants) {
    INFO(yaml);
    TrainConfig config = with(yaml);
    for (double& weight : config.curriculum.signals.weight) weight = 1;
    config.curriculum.signals.weight[index_of(SampleSignal::router_uncertainty)] = 0;  // topk has none
    TinyRun whole(config, kClasses, ProcessGroups::single());
    const RandomBatch batch(config, kClasses, 5);
    whole.accumulate(batch);
    const std::vector<double> expected(whole.step.sample_signals().begin(), whole.step.sample_signals().end());
    REQUIRE(expected.size() == 5 * kNumMeasuredSignals);
    config.train.batch = 1;
    TinyRun alone(config, kClasses, ProcessGroups::single());
    RandomBatch one(config, kClasses, 5);
    for (size_t s = 0; s < 5; ++s) {
      std::copy_n(batch.features.begin() + static_cast<std::ptrdiff_t>(s * 54), 54, one.features.begin());
      one.labels[0] = batch.labels[s];
      CHECK(alone.accumulate(one).loss == Approx(expected[s * kNumMeasuredSignals]).epsilon(1e-5));
      for (size_t i = 0; i < kNumMeasuredSignals; ++i) {
        INFO(kSampleSignals[i].name << " of image " << s);
        if (i != index_of(SampleSignal::router_uncertainty)) CHECK(expected[s * kNumMeasuredSignals + i] > 0);
        CHECK(alone.step.sample_signals()[i] == Approx(expected[s * kNumMeasuredSignals + i]).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("patches without labels and padding have no effect") {
  TinyRun run(with("{}"), kClasses, ProcessGroups::single(), DType::f64);
  RandomBatch batch(run.config, kClasses, 5), changed(run.config, kClasses, 5);
  for (RandomBatch* b : {&batch, &changed}) {
    b->labels[4] = kIgnoreTarget;
    std::fill(b->targets.end() - 9, b->targets.end(), kIgnoreTarget);
  }
  std::fill(changed.features.end() - 54, changed.features.end(), 3.0f);
  const StepOutcome a = run.accumulate(batch);
  const auto expected = named_gradients(run);
  run.clear_gradients();
  const StepOutcome b = run.accumulate(changed);
  CHECK(a.loss == b.loss);
  CHECK(a.accuracy == b.accuracy);
  for (const auto& [name, gradient] : named_gradients(run)) {
    INFO(name);
    CHECK(distance(gradient, expected.at(name)) < 1e-12);
  }
}

TEST_CASE("a small classifier learns its training data") {
  TinyRun run(with("{model: {init_std: 0.05}, train: {batch: 16}}"), kClasses, ProcessGroups::single());
  const RandomBatch batch(run.config, kClasses, 5);
  double accuracy = 0;
  for (int64_t i = 0; i < 60; ++i) accuracy = run.run(batch, i, 1e-2).accuracy;
  CHECK(accuracy == 1);
}

TEST_CASE("options that a classifier does not support are refused") {
  const auto refuses = [](const char* yaml) {
    const TrainConfig config = with(yaml);
    CHECK_THROWS_AS(summarise(config, tiny_shape(config, kClasses)), UsageError);
  };
  refuses("model: {tie_embeddings: true}");
  refuses("model: {pooling: class_token, attention: {causal: true}}");
  refuses("moe: {router: hash}");
  refuses("moe: {router: stable}");
  const TrainConfig config = with("{}");
  CHECK_THROWS_AS(summarise(config, tiny_shape(config, 1)), UsageError);
}

TEST_CASE("every other router and every strategy classifies") {
  const auto works = [](const std::string& yaml) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single());
    const StepOutcome outcome = run.run(RandomBatch(run.config, kClasses, 5), 0, 1e-3);
    CHECK(outcome.finite());
    CHECK(outcome.loss > 0.5);
  };
  for (const Member& router : family<Router>()) {
    if (router.name != "hash" && router.name != "stable") works("moe: {router: " + router.name + "}");
  }
  for (const Member& strategy : family<Strategy>()) works("moe: {strategy: " + strategy.name + "}");
}
