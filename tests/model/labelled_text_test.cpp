// Classifiers of texts: padding has no effect for any kind of model.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/config/config_reader.h"
#include "core/model/classifier.h"
#include "tests/model/padding_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kClasses = 7;

static TrainConfig with(const std::string& yaml) {
  ConfigNode root = parse_config(
      "{task: classify, model: {layers: 2, d_model: 16, init_std: 0.3, attention: {heads: 2}}, moe: {experts: 4, d_ff: "
      "16, balance: [switch, z]}, data: {sequence: 24, labelled: {format: tsv}}, train: {batch: 5}}",
      "base");
  merge_config(root, parse_config(yaml, "case"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// A batch with `room` for more padding: without it, all texts are no longer than the configured length.
static RandomBatch short_texts(const TrainConfig& config, int64_t room) {
  TrainConfig shorter = config;
  shorter.data.sequence -= room;
  return {shorter, kClasses, 5};
}

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

// Model variants, besides those of padding_cases(), whose random draws do not depend on a token's position.
static const char* kVariants[] = {
    "{}",
    "model: {pooling: last}",
    "model: {pooling: class_token, head: tanh}",
    "model: {attention: {causal: false}}",
    "model: {pooling: class_token, attention: {causal: false, position: none}}",
    "model: {pooling: last, attention: {causal: false, position: learned, kv_heads: 1}}",
    "model: {attention: {memory: 5}}",
    "model: {pooling: class_token, norm_place: post_twice, norm: layer, bias: true, attention: {memory: 9, position: "
    "relative}}",
    "{model: {dropout: 0}, train: {micro_batches: 2}, curriculum: {signals: {loss: 1, router_entropy: 1, "
    "expert_variance: 1, entropy: 1, gradient: 1}}}",
};

TEST_CASE("more padding changes neither logits nor gradients nor statistics") {
  std::vector<std::string> cases(std::begin(kVariants), std::end(kVariants));
  // Kinds that draw random numbers by a token's place, which padding moves.
  const auto draws = [](const std::string& yaml) {
    const std::vector<std::string> kinds{"router: noisy_topk", "noisy_topk}", "switch}}",
                                         "stochastic}",        "gshard}",     "random}",
                                         "reinforce}",         "bayesian}"};
    return std::any_of(kinds.begin(), kinds.end(),
                       [&](const std::string& kind) { return yaml.find(kind) != std::string::npos; });
  };
  for (const std::string& yaml : test::padding_cases()) {
    if (!draws(yaml)) cases.push_back(yaml);
  }
  for (const std::string& yaml : cases) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single(), DType::f64);
    const RandomBatch batch = short_texts(run.config, 11), longer = batch.padded(11);
    REQUIRE(*std::max_element(batch.lengths.begin(), batch.lengths.end()) == 13);
    REQUIRE(*std::min_element(batch.lengths.begin(), batch.lengths.end()) < 13);
    const std::vector<double> before = logits(run, batch), after = logits(run, longer);
    REQUIRE(before.size() == 5 * kClasses);
    for (size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).epsilon(1e-12).margin(1e-12));

    const auto reported = [&](const RandomBatch& of) {
      run.clear_gradients();
      const StepOutcome outcome = run.accumulate(of);
      std::vector<double> result{outcome.loss, outcome.auxiliary, outcome.tokens, outcome.norm, outcome.accuracy};
      for (const double sum : run.state.model->sums()) result.push_back(sum);
      for (const double signal : run.step.sample_signals()) result.push_back(signal);
      return std::pair(result, named_gradients(run));
    };
    const auto [figures, gradients] = reported(batch);
    const auto [more_figures, more_gradients] = reported(longer);
    REQUIRE(figures.size() == more_figures.size());
    for (size_t i = 0; i < figures.size(); ++i) {
      INFO("figure " << i);
      CHECK(more_figures[i] == Approx(figures[i]).epsilon(1e-12).margin(1e-12));
    }
    CHECK(figures[2] == Approx(std::accumulate(batch.lengths.begin(), batch.lengths.end(), 0)));
    double largest = 0;
    for (const auto& [name, gradient] : gradients) {
      INFO(name);
      CHECK(distance(more_gradients.at(name), gradient) < 1e-12);
      for (const double g : gradient) largest = std::max(largest, std::abs(g));
    }
    CHECK(largest > 1e-3);
  }
}

TEST_CASE("every token of a text affects its logits, and padding does not") {
  for (const char* yaml :
       {"model: {pooling: class_token}", "model: {pooling: last}", "{}", "model: {attention: {causal: false}}",
        "model: {pooling: class_token, attention: {causal: false}}"}) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single(), DType::f64);
    RandomBatch batch(run.config, kClasses, 5);
    const std::vector<double> before = logits(run, batch);
    const bool has_class_token = run.config.model.pooling == "class_token";
    for (int64_t s = 0; s < batch.sequences; ++s) {
      for (int64_t t = 0; t < batch.time; ++t) {
        int32_t& id = batch.inputs[as_index(s * batch.time + t)];
        const int32_t old = id;
        id = (id + 1) % static_cast<int32_t>(kClasses);
        const std::vector<double> after = logits(run, batch);
        id = old;
        double own = 0, others = 0;
        for (size_t i = 0; i < after.size(); ++i) {
          double& change = static_cast<int64_t>(i) / kClasses == s ? own : others;
          change = std::max(change, std::abs(after[i] - before[i]));
        }
        INFO("token " << t << " of text " << s);
        CHECK(others == 0);
        // The class token takes the last place.
        const int64_t seen = batch.lengths[as_index(s)] - (has_class_token ? 1 : 0);
        if (t < seen) {
          CHECK(own > 1e-7);
        } else {
          CHECK(own == 0);
        }
      }
    }
  }
}

TEST_CASE("a text without tokens is scored, and does not affect gradients before the head") {
  for (const char* yaml : {"{}", "model: {pooling: last}", "model: {attention: {causal: false}}"}) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single(), DType::f64);
    RandomBatch batch(run.config, kClasses, 5);
    batch.lengths[1] = 0;
    std::fill_n(batch.targets.begin() + batch.time, batch.time, kIgnoreTarget);
    const StepOutcome outcome = run.accumulate(batch);
    CHECK(outcome.finite());
    // The same without the label of this text.
    const auto with_it = named_gradients(run);
    run.clear_gradients();
    batch.labels[1] = kIgnoreTarget;
    run.accumulate(batch);
    CHECK(distance(named_gradients(run).at("embedding.weight"), with_it.at("embedding.weight")) < 1e-12);
  }
}

TEST_CASE("a small classifier of texts learns its training data") {
  for (const char* yaml : {"{model: {init_std: 0.1}, train: {batch: 16}}",
                           "{model: {init_std: 0.1, pooling: class_token, head: tanh}, train: {batch: 16}}"}) {
    INFO(yaml);
    TinyRun run(with(yaml), kClasses, ProcessGroups::single());
    const RandomBatch batch(run.config, kClasses, 5);
    double accuracy = 0;
    for (int64_t i = 0; i < 100; ++i) accuracy = run.run(batch, i, 1e-2).accuracy;
    CHECK(accuracy == 1);
  }
}
