#include "core/model/language_model.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static TokenBatch whole(const RandomBatch& batch) {
  const auto view = [](const std::vector<int32_t>& ids) {
    return ConstTensor(
        BasicTensor<const void>{ids.data(), Shape{static_cast<int64_t>(ids.size())}, DType::i32, Device::cpu});
  };
  return {batch.sequences, batch.time, view(batch.inputs), view(batch.targets), batch.sequences * batch.time,
          batch.sequences};
}

static std::vector<double> logits(TinyRun& run, const RandomBatch& batch) {
  run.state.ctx.activations->reset();
  run.state.ctx.scratch->reset();
  run.state.model->forward(run.state.ctx, whole(batch));
  const Tensor result = run.state.model->logits(run.state.ctx, 0, batch.sequences * batch.time);
  return {result.as<double>(), result.as<double>() + result.size()};
}

TEST_CASE("a later token changes no earlier logit and no logit of another sequence") {
  constexpr int64_t vocab = 13;
  for (const char* position : {"rope", "learned", "none"}) {
    for (const char* arrangement : {"switch", "glam"}) {
      INFO(position << " " << arrangement);
      const TrainConfig config = config_from(
          fmt::format("{{model: {{layers: 2, d_model: 16, init_std: 0.3, arrangement: {}, attention: {{heads: 4, "
                      "kv_heads: 2, position: {}}}}}, "
                      "moe: {{experts: 4, d_ff: 8, shared_experts: 1}}, data: {{sequence: 9}}, train: {{batch: 2}}}}",
                      arrangement, position));
      TinyRun run(config, vocab, ProcessGroups::single(), DType::f64);
      run.state.ctx.training = false;
      RandomBatch batch(config, vocab, 3);
      const std::vector<double> before = logits(run, batch);
      for (int64_t changed = 0; changed < batch.time; ++changed) {
        int32_t& token = batch.inputs[as_index(changed)];
        const int32_t old = token;
        token = (token + 5) % vocab;
        const std::vector<double> after = logits(run, batch);
        token = old;
        double difference_at_change = 0;
        for (int64_t t = 0; t < 2 * batch.time; ++t) {
          for (int64_t v = 0; v < vocab; ++v) {
            const auto i = static_cast<size_t>(t * vocab + v);
            if (t < changed || t >= batch.time) CHECK(after[i] == Approx(before[i]).epsilon(1e-12).margin(1e-12));
            if (t == changed) difference_at_change = std::max(difference_at_change, std::abs(after[i] - before[i]));
          }
        }
        CHECK(difference_at_change > 1e-3);  // the probe itself works
      }
    }
  }
}

TEST_CASE("the head gives the same in chunks of rows as at once") {
  // In f64, 20000 words allow 64 rows per chunk: three chunks for 150 tokens, one for each micro-batch of 50.
  constexpr int64_t vocab = 20000;
  const std::string yaml =
      "{model: {layers: 1, d_model: 8, arrangement: dense, attention: {heads: 2}}, data: {sequence: 50}, train: "
      "{batch: 3, micro_batches: %}}";
  const auto with = [&](const char* micro_batches) {
    std::string text = yaml;
    return config_from(text.replace(text.find('%'), 1, micro_batches));
  };
  TinyRun chunked(with("1"), vocab, ProcessGroups::single(), DType::f64),
      whole_run(with("3"), vocab, ProcessGroups::single(), DType::f64);
  const RandomBatch batch(chunked.config, vocab, 4);
  const StepOutcome a = chunked.accumulate(batch), b = whole_run.accumulate(batch);
  CHECK(a.loss == Approx(b.loss).epsilon(1e-13));
  CHECK(a.norm == Approx(b.norm).epsilon(1e-12));
  const auto expected = named_gradients(whole_run);
  for (const auto& [name, gradient] : named_gradients(chunked)) {
    double worst = 0;
    for (size_t i = 0; i < gradient.size(); ++i) worst = std::max(worst, std::abs(gradient[i] - expected.at(name)[i]));
    INFO(name);
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("the loss is the mean of -ln softmax of the logits, over all rows of the head") {
  constexpr int64_t vocab = 7;
  const int64_t rows = GENERATE(7, 12);
  const TrainConfig config = config_from(
      fmt::format("{{model: {{layers: 1, d_model: 16, init_std: 0.5, vocab_size: {}, attention: {{heads: 2}}}}, data: "
                  "{{sequence: 20}}, train: {{batch: 2}}}}",
                  rows == vocab ? 0 : rows));
  TinyRun run(config, vocab, ProcessGroups::single(), DType::f64);
  const RandomBatch batch(config, vocab, 8);
  const std::vector<double> z = logits(run, batch);
  const auto width = static_cast<size_t>(rows);
  REQUIRE(z.size() == batch.targets.size() * width);
  double expected = 0;
  for (size_t t = 0; t < batch.targets.size(); ++t) {
    double total = 0;
    for (size_t v = 0; v < width; ++v) total += std::exp(z[t * width + v]);
    expected -= std::log(std::exp(z[t * width + static_cast<size_t>(batch.targets[t])]) / total);
  }
  CHECK(run.accumulate(batch).loss == Approx(expected / static_cast<double>(batch.targets.size())).epsilon(1e-12));
}

TEST_CASE("the reported loss does not include auxiliary losses") {
  constexpr int64_t vocab = 7;
  const auto loss = [&](const char* coefficient) {
    const TrainConfig config = config_from(
        std::string(
            "{model: {layers: 1, d_model: 16, attention: {heads: 2}}, moe: {balance: [{kind: switch, coefficient: ") +
        coefficient + "}]}, data: {sequence: 20}, train: {batch: 2}}");
    TinyRun run(config, vocab, ProcessGroups::single());
    return run.accumulate(RandomBatch(config, vocab, 8));
  };
  CHECK(loss("0").loss == loss("10").loss);
  CHECK(loss("0").auxiliary == 0);
  CHECK(loss("10").auxiliary >= 9);
}
