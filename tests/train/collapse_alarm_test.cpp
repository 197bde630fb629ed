#include <algorithm>

#include "core/base/json_text.h"
#include "core/train/collapse_alarm.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

// All tokens go to experts 0 and 1 of 4, by a router with zero weights: shares of one half, and a uniform router.
static TrainConfig config_with(const std::string& alarm) {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}}}, moe: {{experts: 4, d_ff: 8, alarm: {}}}, data: "
      "{{sequence: 8}}, train: {{batch: 2}}}}",
      alarm));
}

struct Watched {
  explicit Watched(const std::string& alarm_yaml)
      : run(config_with(alarm_yaml), kVocab, ProcessGroups::single()), alarm(run.config.moe.alarm, 2) {
    for (const Parameter& p : run.state.parameters.parameters()) {
      if (p.name.find(".router.weight") == std::string::npos) continue;
      std::fill_n(p.value.as<float>(), p.value.size(), 0.0f);
    }
    run.accumulate(RandomBatch(run.config, kVocab, 5));
  }
  std::vector<CollapseAlarm::Event> observe() { return alarm.observe(*run.state.model); }

  TinyRun run;
  CollapseAlarm alarm;
};

TEST_CASE("the alarm is raised for a share beyond its limit after a number of consecutive updates, and repeatedly") {
  Watched w("{share: 0.45, updates: 3}");
  for (int round = 0; round < 2; ++round) {
    CHECK(w.observe().empty());
    CHECK(w.observe().empty());
    const auto events = w.observe();
    REQUIRE(events.size() == 2);
    for (size_t i = 0; i < 2; ++i) {
      CHECK(events[i].moe_layer == i);
      CHECK(std::string(events[i].quantity) == "share");
      CHECK(events[i].value == 0.5);
      CHECK(events[i].expert == 0);
    }
    CHECK_THAT(events[1].in_words(), Catch::Contains("expert 0 of layer 1 has 50.0 %"));
  }
}

TEST_CASE("an update within the limits restarts the count") {
  Watched w("{share: 0.45, updates: 2}");
  CHECK(w.observe().empty());
  const std::span<double> counts = w.run.state.model->moe_layers()[0]->load().counts;
  const std::vector<double> before(counts.begin(), counts.end());
  std::fill(counts.begin(), counts.end(), 8.0);
  CHECK(w.observe().size() == 1);  // the other layer
  std::copy(before.begin(), before.end(), counts.begin());
  CHECK(w.observe().empty());
  CHECK(w.observe().size() == 2);
}

TEST_CASE("the alarm monitors entropy, and is silent within limits or when it is off") {
  CHECK(Watched("{share: 0.5, updates: 1}").observe().empty());    // not beyond the limit
  CHECK(Watched("{entropy: 0.9, updates: 1}").observe().empty());  // a uniform router has the maximum entropy
  CHECK(Watched("{updates: 1}").observe().empty());
  Watched w("{entropy: 0.9, updates: 1}");
  for (MoELayer* layer : w.run.state.model->moe_layers()) layer->load().scalars[0] *= 0.5;
  const auto events = w.observe();
  REQUIRE(events.size() == 2);
  CHECK(std::string(events[0].quantity) == "entropy");
  CHECK(events[0].value == Approx(0.5));
}

TEST_CASE("the alarm's state, including raised losses, is saved and restored, and foreign states are refused") {
  Watched before("{share: 0.45, updates: 2, action: raise}"), after("{share: 0.45, updates: 2, action: raise}");
  before.observe();
  before.run.state.model->moe_layers()[1]->balance().raise_by(4);
  const Json state = parse_json(json_text(before.alarm.state(*before.run.state.model)));
  after.alarm.restore(*after.run.state.model, state, "here");
  CHECK(after.observe().size() == 2);
  CHECK(after.run.state.model->moe_layers()[0]->balance().raised() == 1);
  CHECK(after.run.state.model->moe_layers()[1]->balance().raised() == 4);
  for (const char* wrong :
       {"3", "{}", R"({"updates": [0], "raised": [1, 1]})", R"({"updates": [0, 0, 0, "a"], "raised": [1, 1]})"}) {
    CHECK_THROWS_AS(after.alarm.restore(*after.run.state.model, parse_json(wrong), "here"), CheckpointError);
  }
}

TEST_CASE("raised balance losses are multiplied in the objective and in the gradient") {
  const TrainConfig config = config_with("{}");
  TinyRun run(config, kVocab, ProcessGroups::single());
  const RandomBatch batch(config, kVocab, 5);
  const double before = run.accumulate(batch).auxiliary;
  const auto gradient = named_gradients(run);
  run.clear_gradients();
  for (MoELayer* layer : run.state.model->moe_layers()) layer->balance().raise_by(3);
  CHECK(run.accumulate(batch).auxiliary == Approx(3 * before));
  CHECK(distance(named_gradients(run).at("blocks.0.moe.router.weight"), gradient.at("blocks.0.moe.router.weight")) > 0);
}

TEST_CASE("a restart takes the experts without tokens in the layers of the alarm") {
  Watched w("{share: 0.45, updates: 1, action: restart}");
  const std::span<double> counts = w.run.state.model->moe_layers()[0]->load().counts;
  std::fill(counts.begin(), counts.end(), 8.0);  // one layer is balanced
  const auto [use, experts] = CollapseAlarm::under_used(*w.run.state.model, w.observe());
  REQUIRE(experts.size() == 2);
  CHECK(experts[0].empty());
  CHECK(experts[1] == std::vector<int64_t>{3, 2});
  CHECK(use[1] == std::vector<double>{0.5, 0.5, 0, 0});
}
