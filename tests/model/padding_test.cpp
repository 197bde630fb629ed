// Which tokens count at evaluation, for language models and for classifiers of texts: padding after a sequence's end
// has no effect on any limit, loss or measure, and tokens that are not scored take part in limits like all others.
#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "core/evaluate/evaluator.h"
#include "core/tensor/copy.h"
#include "tests/model/padding_cases.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kVocab = 7, kTime = 24;

TrainConfig with(const std::string& task, const std::string& yaml) {
  ConfigNode root = parse_config(
      "{model: {layers: 2, d_model: 16, init_std: 0.3, attention: {heads: 2}}, moe: {experts: 4, d_ff: 16, balance: "
      "[switch, z]}, data: {sequence: 24, labelled: {format: tsv}}, train: {batch: 4}}",
      "base");
  merge_config(root, parse_config("task: " + task, "task"));
  merge_config(root, parse_config(yaml, "case"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// A text of random tokens. Of a language model's the first `context` tokens are not scored.
struct Row {
  int64_t tokens = 0, context = 0;
};

// Rows of a text each, in batches of `time` places per row.
class Rows : public EvaluationSet {
 public:
  Rows(std::vector<Row> rows, int64_t time, bool labelled) : rows_(std::move(rows)), time_(time), labelled_(labelled) {}
  int64_t num_sequences() const override { return std::ssize(rows_); }
  int64_t scored() const {
    int64_t sum = 0;
    for (const Row& row : rows_) sum += row.tokens - row.context;
    return sum;
  }
  int64_t num_tokens() const override { return scored(); }
  void load(int64_t first, int64_t count, Batch& batch) const override {
    batch = {};
    labelled_ ? batch.resize_texts(count, time_) : batch.resize(count, time_);
    batch.lengths.resize(as_index(count));
    for (int64_t i = 0; i < count; ++i) {
      const auto [tokens, context] = rows_[as_index(first + i)];
      const RandomKey key{static_cast<uint64_t>(100 * tokens + first + i), RandomPurpose::test, 0, 0};
      const auto draw = [&](int64_t t) { return static_cast<int32_t>(key.bits(as_index(t)) % kVocab); };
      for (int64_t t = 0; t < time_; ++t) {
        const size_t place = as_index(i * time_ + t);
        batch.inputs[place] = t < tokens ? draw(t) : kPaddingToken;
        batch.targets[place] = t < context || t >= tokens ? kIgnoreTarget : labelled_ ? 0 : draw(t + 1);
      }
      batch.lengths[as_index(i)] = static_cast<int32_t>(tokens);
      if (labelled_) batch.labels[as_index(i)] = draw(0);
    }
  }

 private:
  std::vector<Row> rows_;
  int64_t time_;
  bool labelled_;
};

struct Result {
  Evaluation evaluation;
  std::vector<double> sums, loss_sums;       // of the model
  std::vector<std::vector<int32_t>> chosen;  // by layer: the scored tokens' choices
  std::vector<double> losses;                // of every place
};

Result evaluated(TinyRun& run, const EvaluationSet& set, int64_t sequences) {
  Result result;
  const auto layers = run.state.model->moe_layers();
  std::vector<RoutingRecord> records(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    records[i].scored_only = true;
    layers[i]->record_choices(&records[i]);
  }
  result.evaluation = evaluate(run.state, run.groups, set, sequences, [&](int64_t, const Outcome& outcome) {
    const Tensor losses = outcome.losses;
    result.losses.insert(result.losses.end(), losses.as<double>(), losses.as<double>() + losses.size());
  });
  for (MoELayer* layer : layers) layer->record_choices(nullptr);
  for (const RoutingRecord& record : records) result.chosen.push_back(record.chosen);
  const auto sums = run.state.model->sums(), loss_sums = run.state.model->loss_sums();
  result.sums.assign(sums.begin(), sums.end());
  result.loss_sums.assign(loss_sums.begin(), loss_sums.end());
  return result;
}

// Sums agree to rounding; whole numbers are far below 1e12, so counts agree exactly.
void check_equal(const char* what, const std::vector<double>& a, const std::vector<double>& b) {
  INFO(what);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO("value " << i);
    CHECK(a[i] == Approx(b[i]).epsilon(1e-12).margin(1e-12));
  }
}

}  // namespace

TEST_CASE("padding changes no limit, loss or measure of an evaluation") {
  for (const char* task : {"language_model", "classify"}) {
    const bool labelled = task == std::string("classify");
    for (const std::string& yaml : test::padding_cases()) {
      INFO(task << ", " << yaml);
      TinyRun run(with(task, yaml), kVocab, ProcessGroups::single(), DType::f64);
      run.state.ctx.diagnose = true;  // measures that cost extra work are taken, too
      for (const Row& row :
           {Row{kTime, 0}, Row{7, 0}, Row{1, 0}, Row{13, labelled ? 0 : 5}, Row{kTime, labelled ? 0 : 20}}) {
        INFO(row.tokens << " tokens, " << row.context << " of them context");
        const Rows alone({row}, row.tokens, labelled), padded({row}, kTime, labelled);
        const Result want = evaluated(run, alone, 1), have = evaluated(run, padded, 1);
        CHECK(have.evaluation.tokens == want.evaluation.tokens);
        CHECK(have.evaluation.correct == want.evaluation.correct);
        CHECK(have.evaluation.loss_sum == Approx(want.evaluation.loss_sum).epsilon(1e-12));
        check_equal("sums", have.sums, want.sums);
        check_equal("sums of losses", have.loss_sums, want.loss_sums);
        CHECK(have.chosen == want.chosen);
        for (const MoELayer* layer : run.state.model->moe_layers()) {
          CHECK(layer->load().tokens() == static_cast<double>(alone.scored()));
        }
      }
    }
  }
}

TEST_CASE("texts of different lengths in one batch have the losses that each has alone") {
  for (const char* task : {"language_model", "classify"}) {
    const bool labelled = task == std::string("classify");
    for (const std::string& yaml : test::padding_cases()) {
      if (test::depends_on_batch(yaml)) continue;
      INFO(task << ", " << yaml);
      TinyRun run(with(task, yaml), kVocab, ProcessGroups::single(), DType::f64);
      const std::vector<Row> rows{{kTime, 0}, {7, 0}, {1, 0}, {13, labelled ? 0 : 5}};
      const Result together = evaluated(run, Rows(rows, kTime, labelled), 4);
      double sum = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        // Rows' tokens are drawn by their place in the set, so the rows before it are there with no tokens.
        std::vector<Row> one(i + 1);
        one.back() = rows[i];
        if (labelled) std::fill(one.begin(), one.end() - 1, Row{1, 0});
        const std::vector<double> losses = evaluated(run, Rows(one, kTime, labelled), 1).losses;
        const int64_t per_row = labelled ? 1 : kTime;
        for (int64_t t = 0; t < per_row; ++t) {
          const double loss = losses[i * as_index(per_row) + as_index(t)];
          CHECK(together.losses[i * as_index(per_row) + as_index(t)] == Approx(loss).epsilon(1e-12).margin(1e-12));
          sum += loss;
        }
      }
      CHECK(together.evaluation.loss_sum == Approx(sum).epsilon(1e-12));
    }
  }
}

TEST_CASE("tokens that a stride does not score take the same room as those that it scores") {
  for (const std::string& yaml : test::padding_cases()) {
    INFO(yaml);
    TinyRun run(with("language_model", yaml), kVocab, ProcessGroups::single(), DType::f64);
    const Result whole = evaluated(run, Rows({{kTime, 0}}, kTime, false), 1);
    const Result part = evaluated(run, Rows({{kTime, 17}}, kTime, false), 1);
    CHECK(part.evaluation.tokens == 7);
    for (size_t t = 0; t < as_index(kTime); ++t) CHECK(part.losses[t] == (t < 17 ? 0 : whole.losses[t]));
    for (size_t layer = 0; layer < part.chosen.size(); ++layer) {
      const auto each = std::ssize(whole.chosen[layer]) / kTime;
      CHECK(part.chosen[layer] ==
            std::vector<int32_t>(whole.chosen[layer].begin() + 17 * each, whole.chosen[layer].end()));
    }
    const auto layers = run.state.model->moe_layers();
    for (const MoELayer* layer : layers) {
      CHECK(layer->load().tokens() == 7);
      CHECK(layer->load().dropped_share() <= 1);
    }
  }
}
