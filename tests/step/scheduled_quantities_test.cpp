#include "core/step/scheduled_quantities.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;
static constexpr RunLength kRun{101, 32, 10};

TEST_CASE("scheduled quantities are found in all sections, and have their values") {
  const TrainConfig config = config_from(
      "{moe: {router: {kind: topk, k: {kind: linear, from: 4, to: 2}, jitter: 0.1}, balance: [z, {kind: switch, "
      "coefficient: {kind: linear, from: 0, to: 1}}], strategy: {kind: change, first: {kind: compete, probability: "
      "{kind: linear, from: 1, to: 0}}}}, model: {dropout: {kind: constant, value: 0.2, warmup: 10}}, train: "
      "{learning_rate: cosine}}");
  const ScheduledQuantities scheduled(config, kRun);
  const std::vector<std::pair<std::string, double>> middle = {{"model.dropout", 0.2},
                                                              {"moe.router.k", 3},
                                                              {"moe.strategy.first.probability", 0.5},
                                                              {"moe.balance.1.coefficient", 0.5}};
  const auto found = scheduled.at(50);
  REQUIRE(found.size() == middle.size());
  for (size_t i = 0; i < middle.size(); ++i) {
    INFO(found[i].first);
    CHECK(found[i].first == middle[i].first);
    CHECK(found[i].second == Approx(middle[i].second).epsilon(0.02));
  }
  CHECK(scheduled.at(4)[0].second == Approx(0.2 * 5 / 11).epsilon(1e-9));
}

TEST_CASE("a configuration without schedules has no scheduled quantities") {
  CHECK(ScheduledQuantities(TrainConfig(), kRun).empty());
}

TEST_CASE("coefficients follow their schedules in the objective") {
  const auto auxiliary = [](const std::string& coefficient, int64_t update) {
    const TrainConfig config = config_from(fmt::format(
        "{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}}}, moe: {{experts: 4, d_ff: 8, balance: [{{kind: "
        "switch, coefficient: {}}}]}}, data: {{sequence: 8}}, train: {{batch: 2}}}}",
        coefficient));
    TinyRun run(config, kVocab, ProcessGroups::single());
    return run.accumulate(RandomBatch(config, kVocab, 5), update).auxiliary;
  };
  const double whole = auxiliary("1", 0);
  CHECK(whole > 1);
  CHECK(auxiliary("{kind: linear, from: 1, to: 0}", 0) == whole);
  CHECK(auxiliary("{kind: step, from: 1, factor: 0.25, every: 10}", 10) == Approx(0.25 * whole));
}

TEST_CASE("a schedule that leaves its quantity's range is refused before the run") {
  for (const char* yaml :
       {"moe: {router: {jitter: 1}}", "moe: {balance: [{kind: z, coefficient: {kind: linear, from: 1, to: -1}}]}",
        "model: {dropout: {kind: linear, from: 0, to: 1}}", "moe: {dropout: 1}", "model: {layer_dropout: -0.1}",
        "moe: {strategy: {kind: stochastic, noise: -1}}", "train: {label_smoothing: 1}"}) {
    INFO(yaml);
    CHECK_THROWS_AS(TinyRun(config_from(yaml), kVocab, ProcessGroups::single()), UsageError);
  }
}

TEST_CASE("label smoothing changes a language model's gradient, not the reported loss") {
  const char* kModel =
      "{model: {layers: 1, d_model: 16, attention: {heads: 2}}, moe: {experts: 4, d_ff: 8}, data: {sequence: 8}, "
      "train: {batch: 2, label_smoothing: %s}}";
  const auto run = [&](const char* smoothing) {
    std::string yaml = kModel;
    yaml.replace(yaml.find("%s"), 2, smoothing);
    TinyRun tiny(config_from(yaml), kVocab, ProcessGroups::single());
    const StepOutcome outcome = tiny.accumulate(RandomBatch(tiny.config, kVocab, 5));
    return std::pair(outcome.loss, outcome.norm);
  };
  CHECK(run("0").first == run("0.3").first);
  CHECK(run("0").second != run("0.3").second);
}

TEST_CASE("every dropout is used only in training") {
  for (const char* place :
       {"model: {attention: {heads: 2}, dropout: 0.5, ", "model: {attention: {heads: 2}, hidden_dropout: 0.5, ",
        "model: {attention: {heads: 2}, layer_dropout: 0.5, ", "model: {attention: {heads: 2, dropout: 0.5}, ",
        "moe: {dropout: 0.5}, model: {attention: {heads: 2}, ",
        "moe: {hidden_dropout: 0.5}, model: {attention: {heads: 2}, ",
        "moe: {router: {input_dropout: 0.5}}, model: {attention: {heads: 2}, "}) {
    INFO(place);
    const std::string rest = "layers: 2, arrangement: glam, d_model: 16}, data: {sequence: 8}, train: {batch: 2}}";
    TinyRun plain(config_from("{model: {attention: {heads: 2}, " + rest), kVocab, ProcessGroups::single());
    TinyRun dropping(config_from("{" + std::string(place) + rest), kVocab, ProcessGroups::single());
    const RandomBatch batch(plain.config, kVocab, 5);
    const double loss = plain.accumulate(batch).loss;
    CHECK(dropping.accumulate(batch).loss != loss);
    CHECK(dropping.accumulate(batch, 1).loss != dropping.accumulate(batch, 2).loss);
    CHECK(dropping.accumulate(batch, 1).loss == dropping.accumulate(batch, 1).loss);
  }
}
