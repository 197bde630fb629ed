#include "core/inspect/sample_use.h"

#include <vector>

#include "tests/inspect/markup_error.h"
#include "tests/support/catch.h"

using namespace moe;

// Two samples of a leading token and 2 x 3 patches, of the classes 0 and 1. Expert 0 takes the first sample's tokens;
// of the second one's, expert 1 takes all but the patch at time 2 in the upper row, which expert 2 takes.
static StepTrace some_trace() {
  StepTrace trace;
  LayerTrace layer{.block = 3, .experts = 4, .slots = 2};
  for (int32_t sample = 0; sample < 2; ++sample) {
    for (int32_t position = 0; position < 7; ++position) {
      trace.samples.push_back(sample);
      trace.positions.push_back(position);
      trace.labels.push_back(sample);
      const bool is_last = sample == 1 && position == 6;
      layer.chosen.push_back(is_last ? 2 : sample);
      layer.chosen.push_back(kNoExpert);
      layer.weights.insert(layer.weights.end(), {1, 0});
    }
  }
  trace.layers.push_back(layer);
  return trace;
}

static const SampleGrid kGrid{
    .leading = 1, .rows = 2, .columns = 3, .by_column = true, .upward = true, .row = "frequency", .column = "time"};

TEST_CASE("a position's place in the grid follows the order of the tokens") {
  CHECK(kGrid.place_of(0) == -1);
  CHECK(kGrid.place_of(1) == 0);  // row 0, column 0
  CHECK(kGrid.place_of(2) == 3);  // row 1, column 0
  CHECK(kGrid.place_of(6) == 5);
  CHECK(kGrid.place_of(7) == -1);
  const SampleGrid image{.leading = 0, .rows = 2, .columns = 3};
  CHECK(image.place_of(0) == 0);
  CHECK(image.place_of(4) == 4);
}

TEST_CASE("the use of experts by class and place is the share of their tokens' choices") {
  const SampleUse use = sample_use(some_trace(), {"one", "two <b>", "none"}, kGrid);
  REQUIRE(use.layers.size() == 1);
  const LayerUse& layer = use.layers[0];
  CHECK(layer.block == 3);
  REQUIRE(layer.by_class.size() == 3);
  CHECK(layer.by_class[0] == std::vector<double>{1, 0, 0, 0});
  CHECK(layer.by_class[1][1] == Approx(6.0 / 7));
  CHECK(layer.by_class[1][2] == Approx(1.0 / 7));
  CHECK(layer.by_class[2] == std::vector<double>{0, 0, 0, 0});  // no sample of this class
  REQUIRE(layer.by_place.size() == 6);
  CHECK(layer.by_place[0] == std::vector<double>{0.5, 0.5, 0, 0});
  CHECK(layer.by_place[5] == std::vector<double>{0.5, 0, 0.5, 0});

  const std::string text = sample_use_text(use);
  CHECK_THAT(text, Catch::Contains("one 4.00") && Catch::Contains("two <b> 3.43"));
  for (const std::string& section : {class_use_section(use), place_use_section(use)})
    CHECK(markup_error(section) == "");
  CHECK_THAT(place_use_section(use), Catch::Contains("frequency over time, for each expert"));
  const Json json = sample_use_json(use);
  CHECK(json.at("grid").at("columns") == 3);
  CHECK(json.at("layers")[0].at("by_class")[0][0] == 1.0);
}

TEST_CASE("samples without classes or without places have no such reports") {
  StepTrace text = some_trace();
  text.labels.clear();
  const SampleUse none = sample_use(text, {"one", "two"}, kGrid);
  CHECK(none.layers.empty());
  CHECK(sample_use_text(none).empty());
  CHECK(class_use_section(none).empty());
  CHECK(place_use_section(none).empty());
  CHECK(sample_use_json(none).is_null());
  const SampleUse texts = sample_use(some_trace(), {"one", "two"}, std::nullopt);
  CHECK_FALSE(class_use_section(texts).empty());
  CHECK(place_use_section(texts).empty());
  CHECK(sample_use_json(texts).at("grid").is_null());
}
