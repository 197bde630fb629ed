#include "core/inspect/equal_cost.h"

#include <fstream>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

// The step of `wide` costs 2.5 times that of `plain`.
static StudyCosts costs_of(EqualCost equal) {
  return {.equal = equal,
          .baseline = "plain",
          .machine = equal == EqualCost::seconds ? "here" : "",
          .configs = {{"plain", {.steps = 101, .step_cost = 1, .tokens_per_step = 64, .flops_per_token = 1000}},
                      {"wide", {.steps = 40, .step_cost = 2.5, .tokens_per_step = 64, .flops_per_token = 2500}}}};
}

static RunCost run_of(const std::string& config, double updates, double flops) {
  return {.config = config, .machine = "here", .updates = updates, .tokens_per_update = 64, .flops_per_token = flops};
}

TEST_CASE("the number of steps of an equal cost is rounded and never 0") {
  CHECK(steps_of_equal_cost(100, 2) == 50);
  CHECK(steps_of_equal_cost(101, 2.5) == 40);  // 40.4
  CHECK(steps_of_equal_cost(3, 100) == 1);
}

TEST_CASE("runs of equal cost differ by at most one step, and have the number of updates that was fixed") {
  const EqualCost equal = GENERATE(EqualCost::flops, EqualCost::seconds);
  const StudyCosts costs = costs_of(equal);
  const RunCost plain = run_of("plain", 101, 1000);
  CHECK(cost_differences(costs, plain, plain).empty());
  CHECK(cost_differences(costs, run_of("wide", 40, 2500), plain).empty());
  const auto reasons = cost_differences(costs, run_of("wide", 44, 2500), plain);
  REQUIRE(reasons.size() == 1);
  CHECK_THAT(reasons[0], Catch::Contains("updates 44 instead of 40"));
  CHECK_THAT(cost_differences(costs, run_of("deep", 40, 2500), plain).at(0), Catch::Contains("deep"));
}

TEST_CASE("operations are those of the run, not those that were planned") {
  const auto reasons =
      cost_differences(costs_of(EqualCost::flops), run_of("wide", 40, 5000), run_of("plain", 101, 1000));
  REQUIRE(reasons.size() == 1);
  CHECK_THAT(reasons[0], Catch::Contains("1.98 times"));  // 40 x 5000 / (101 x 1000)
}

TEST_CASE("with equal seconds a run on another machine is unfair, with equal operations it is not") {
  RunCost moved = run_of("wide", 40, 2500);
  moved.machine = "there";
  CHECK(cost_differences(costs_of(EqualCost::flops), moved, run_of("plain", 101, 1000)).empty());
  CHECK_THAT(cost_differences(costs_of(EqualCost::seconds), moved, run_of("plain", 101, 1000)).at(0),
             Catch::Contains("there instead of here"));
}

TEST_CASE("the costs of a study are written and read, and a damaged file is refused") {
  const TemporaryFolder folder;
  CHECK(read_study_costs(folder.path()).equal == EqualCost::tokens);
  StudyCosts costs = costs_of(EqualCost::seconds);
  costs.configs.at("wide").milliseconds = 12.5;
  write_study_costs(costs, folder.path());
  const StudyCosts read = read_study_costs(folder.path());
  CHECK(read.equal == EqualCost::seconds);
  CHECK(read.baseline == "plain");
  CHECK(read.machine == "here");
  CHECK(read.configs.at("wide").steps == 40);
  CHECK(read.configs.at("wide").step_cost == 2.5);
  CHECK(read.configs.at("wide").milliseconds == 12.5);
  for (const char* text : {"{", "[]", "{\"equal\": \"love\", \"baseline\": \"\", \"configs\": {}}",
                           "{\"equal\": \"flops\", \"baseline\": \"a\", \"configs\": {\"a\": {}}}"}) {
    std::ofstream(folder / "study.json") << text;
    CHECK_THROWS_AS(read_study_costs(folder.path()), CheckpointError);
  }
}
