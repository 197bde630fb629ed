#include "core/inspect/tuning.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static constexpr double kInfinite = std::numeric_limits<double>::infinity();

TEST_CASE("the optimum is the minimum of a parabola over the value's logarithm") {
  // quality = 2 + (ln(value) - ln(3e-3))^2
  std::vector<SweptValue> values;
  for (const double value : {5e-4, 1e-3, 2e-3, 4e-3, 1.6e-2})
    values.push_back({value, 2 + std::pow(std::log(value / 3e-3), 2)});
  const Optimum found = find_optimum(values);
  CHECK(found.best == 4e-3);
  CHECK(found.value == Approx(3e-3));
  CHECK(found.edge == SweepEdge::none);
  // By hand: through (-1, 3), (0, 1), (1, 2) in powers of e the minimum is at 1/6.
  CHECK(find_optimum(std::vector<SweptValue>{{std::exp(-1.0), 3}, {1, 1}, {std::exp(1.0), 2}}).value ==
        Approx(std::exp(1.0 / 6)));
}

TEST_CASE("at the edge of a sweep no optimum is known, and beside a run that diverged it is the best value") {
  CHECK(find_optimum(std::vector<SweptValue>{{1, 1}, {2, 2}, {4, 3}}).edge == SweepEdge::lowest);
  const Optimum high = find_optimum(std::vector<SweptValue>{{1, 3}, {2, 2}, {4, 1}});
  CHECK(high.edge == SweepEdge::highest);
  CHECK(high.best == 4);
  CHECK(std::isnan(high.value));
  const Optimum beside = find_optimum(std::vector<SweptValue>{{1, 3}, {2, 2}, {4, kInfinite}});
  CHECK(beside.edge == SweepEdge::none);
  CHECK(beside.value == 2);
  CHECK(find_optimum(std::vector<SweptValue>{{1, 2}, {2, 2}, {4, 2}}).edge == SweepEdge::lowest);
}

TEST_CASE("the exponent is that of a power of the width") {
  CHECK(width_exponent(64, 4e-3, 128, 2e-3) == Approx(1));
  CHECK(width_exponent(64, 4e-3, 256, 2e-3) == Approx(0.5));
  CHECK(width_exponent(64, 4e-3, 128, 4e-3) == Approx(0).margin(1e-12));
}

// `good` was tuned well, `bad` was best at the highest value at one size.
static std::vector<Sweep> sample() {
  const auto size = [](const std::string& name, double width, std::vector<SweptValue> values) {
    const Optimum optimum = find_optimum(values);
    return SweptSize{name, width, std::move(values), optimum};
  };
  Sweep good{"good", "train.learning_rate.from", {}, 0.5, std::nullopt};
  good.sizes = {size("a", 64, {{1e-3, 3}, {2e-3, 2}, {4e-3, kInfinite}}),
                size("b", 128, {{1e-3, 3}, {2e-3, 2}, {4e-3, 4}})};
  good.check = {.size = size("c", 256, {{5e-4, 2}, {1e-3, 1}, {2e-3, 2}}), .predicted = 1e-3, .holds = true};
  Sweep bad{"bad", "train.learning_rate.from", {}, std::nullopt, std::nullopt};
  bad.sizes = {size("a", 64, {{1e-3, 3}, {2e-3, 2}, {4e-3, 1}}), size("b", 128, {{1e-3, 3}, {2e-3, 2}, {4e-3, 4}})};
  return {good, bad};
}

TEST_CASE("the result of a tuning is written and read, and a damaged file is refused") {
  const TemporaryFolder folder;
  const std::vector<Sweep> sweeps = sample();
  std::ofstream(folder / "tune.json") << json_text(tuning_json(sweeps));
  const auto read = read_tuning(folder / "tune.json");
  REQUIRE(read.size() == 2);
  CHECK(json_text(tuning_json(read)) == json_text(tuning_json(sweeps)));
  CHECK(tuning_text(read) == tuning_text(sweeps));
  CHECK(std::isinf(read[0].sizes[0].values[2].quality));
  CHECK(read[0].exponent == 0.5);
  CHECK_FALSE(read[1].exponent);
  CHECK_THAT(tuning_text(sweeps), Catch::Contains("proportional to width^-0.50") &&
                                      Catch::Contains("0.004: diverged") &&
                                      Catch::Contains("0.001 was predicted there: better than half and twice of it") &&
                                      Catch::Contains("the highest value is the best"));
  for (const char* wrong :
       {"", "{}", "{\"sweeps\": [{}]}",
        "{\"sweeps\": [{\"config\": \"a\", \"key\": \"k\", \"sizes\": [{\"name\": \"s\", \"width\": 1, "
        "\"values\": []}]}]}"}) {
    std::ofstream(folder / "tune.json") << wrong;
    CHECK_THROWS_AS(read_tuning(folder / "tune.json"), CheckpointError);
  }
  CHECK_THROWS_AS(read_tuning(folder / "absent.json"), CheckpointError);
}

TEST_CASE("a comparison notes values at the edge of their sweep and configurations that were not tuned") {
  const std::string key = "train.learning_rate.from";
  CHECK(tuning_notes(sample(), std::vector<TunedConfig>{{"good", {{key, "0.0015"}, {"seed", "1"}}}}).empty());
  const auto notes = tuning_notes(
      sample(),
      std::vector<TunedConfig>{{"good", {{key, "0.004"}}}, {"bad", {{key, "{kind: x}"}}}, {"other", {{key, "0.002"}}}});
  REQUIRE(notes.size() == 3);
  CHECK_THAT(notes[0], Catch::Contains("good: train.learning_rate.from is 0.004, at or beyond the edge"));
  CHECK_THAT(notes[1],
             Catch::Contains("bad: train.learning_rate.from was best at the highest value of its sweep, 0.004"));
  CHECK_THAT(notes[2], Catch::Contains("other: no sweep"));
}
