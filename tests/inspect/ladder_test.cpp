#include "core/inspect/ladder.h"

#include <fmt/core.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/inspect/ladder_report.h"
#include "tests/inspect/markup_error.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static double baseline_loss(double operations) {
  return 1 + 2 * std::pow(operations, -0.1);
}

// Three seeds of a baseline, and of a method whose difference is given for each size.
static LadderSize size_of(const std::string& name, double flops_per_token, double difference) {
  std::vector<ComparedRun> runs;
  for (const int64_t seed : {1, 2, 3}) {
    const double noise = 0.002 * static_cast<double>(seed - 2);
    for (const bool method : {false, true}) {
      ComparedRun run = sample_run(method ? "b" : "a", seed, 0);
      run.flops_per_token = flops_per_token;
      run.quality = baseline_loss(run.operations()) + noise + (method ? difference + noise / 4 : 0);
      runs.push_back(run);
    }
  }
  LadderSize size{.name = name, .comparison = compare_runs(std::move(runs), {"a"}, {})};
  size.operations = size.comparison.reference().operations();
  return size;
}

static Ladder ladder_of(std::vector<double> differences) {
  Ladder ladder{.folder = "x", .sizes = {}, .methods = {}, .baseline = "a"};
  double flops = 1e6;
  for (const double difference : differences) {
    ladder.sizes.push_back(size_of(fmt::format("s{}", ladder.sizes.size()), flops, difference));
    flops *= 10;
  }
  judge_ladder(ladder);
  return ladder;
}

TEST_CASE("a ladder says whether an advantage grows or shrinks with size") {
  const Ladder grows = ladder_of({-0.01, -0.02, -0.03});
  REQUIRE(grows.methods.size() == 2);
  CHECK(grows.methods[1].slope.mean == Approx(-0.01));
  CHECK(grows.methods[1].slope.differences.size() == 3);
  CHECK(grows.methods[1].trend == AdvantageTrend::grows);
  CHECK(grows.methods[0].trend == AdvantageTrend::none);
  const Ladder shrinks = ladder_of({-0.03, -0.02, -0.01});
  CHECK(shrinks.methods[1].trend == AdvantageTrend::shrinks);
  CHECK_THAT(ladder_answers(shrinks).at(0), Catch::Contains("its advantage shrinks with size"));
  CHECK_THAT(ladder_answers(shrinks).at(0), Catch::Contains("better at s0, better at s1, better at s2"));
}

TEST_CASE("a ladder of equal differences decides no trend") {
  CHECK(ladder_of({-0.02, -0.02}).methods[1].trend == AdvantageTrend::undecided);
}

TEST_CASE("a ladder of three sizes gives speedups and one of four a curve for each method") {
  const Ladder two = ladder_of({-0.01, -0.01});
  CHECK(std::isnan(two.methods[1].sizes[0].speedup.value));
  const Ladder three = ladder_of({0, -0.03, -0.05});
  const LadderMethod& b = three.methods[1];
  CHECK(b.sizes[0].speedup.value == Approx(1).epsilon(0.01));
  // The baseline reaches the loss of the second size minus 0.03 on its own curve.
  const double operations = three.sizes[1].operations;
  const double needed = std::pow((baseline_loss(operations) - 0.03 - 1) / 2, -10);
  CHECK(b.sizes[1].speedup.value == Approx(needed / operations).epsilon(0.02));
  CHECK_FALSE(b.sizes[1].speedup.extrapolated);
  CHECK(b.sizes[2].speedup.extrapolated);
  CHECK(b.curve.scale == 0);
  const Ladder four = ladder_of({0, 0, 0, 0});
  CHECK(four.methods[0].curve.floor == Approx(1).epsilon(0.02));
  CHECK(four.methods[0].curve.exponent == Approx(0.1).epsilon(0.05));
  CHECK(four.methods[1].curve.floor == four.methods[0].curve.floor);
}

TEST_CASE("a method that lacks a size has no trend") {
  Ladder ladder = ladder_of({-0.01, -0.02, -0.03});
  ladder.methods.clear();
  ladder.sizes[1].comparison = std::move(size_of("s1", 1e7, 0).comparison);
  std::erase_if(ladder.sizes[1].comparison.configs, [](const ComparedConfig& config) { return config.name == "b"; });
  judge_ladder(ladder);
  REQUIRE(ladder.methods.size() == 2);
  CHECK(ladder.methods[1].trend == AdvantageTrend::none);
  CHECK_FALSE(ladder.methods[1].sizes[1].config);
  CHECK_THAT(ladder_text(ladder), Catch::Contains("no run that can be compared"));
}

TEST_CASE("the reports of a ladder") {
  const Ladder ladder = ladder_of({-0.01, -0.02, -0.03, -0.04});
  const std::string text = ladder_text(ladder);
  CHECK_THAT(text, Catch::Contains("Ladder of 4 sizes, baseline a"));
  CHECK_THAT(text, Catch::Contains("-0.0100  [-0.0112, -0.0088]"));
  const Json json = ladder_json(ladder);
  CHECK(json.at("methods")[1].at("advantage") == "grows");
  CHECK(json.at("methods")[1].at("sizes")[0].at("verdict") == "better");
  CHECK(json.at("sizes").size() == 4);
  CHECK(markup_error(ladder_html(ladder)) == "");
}

TEST_CASE("a ladder is read from a folder of comparisons") {
  TemporaryFolder folder;
  CHECK_THROWS_AS(read_ladder(folder.path(), {}), CheckpointError);
  for (const std::string size : {"large", "small"}) {
    SampleFolder run;
    if (size == "large")
      run.manifest = replaced(run.manifest, "\"flops_per_token\": 1000", "\"flops_per_token\": 4000");
    run.write(folder / size, "a-seed1");
    std::ofstream(folder / size + "/configs.txt") << "a\n";
    if (size == "large") CHECK_THROWS_AS(read_ladder(folder.path(), {}), CheckpointError);
  }
  const Ladder ladder = read_ladder(folder.path(), {});
  REQUIRE(ladder.sizes.size() == 2);
  CHECK(ladder.sizes[0].name == "small");
  CHECK(ladder.sizes[1].operations == 4 * ladder.sizes[0].operations);
  CHECK(ladder.baseline == "a");
  CHECK_THROWS_AS(read_ladder(folder.path(), {.baseline = "b"}), UsageError);
}
