// A baseline that was trained at several costs.
#include "core/inspect/comparison.h"

#include <fmt/core.h>

#include <cmath>

#include "core/inspect/comparison_text.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"

using namespace moe;

// The baseline of sample_runs() at another length, whose loss is on a curve through that of its seed.
static ComparedRun other_cost(int64_t seed, double bits, int64_t updates) {
  ComparedRun run = sample_run("a", seed, bits);
  run.name = fmt::format("costs/{}/{}", updates, run.name);
  run.has_other_cost = true;
  run.step = updates;
  for (auto& [name, value] : run.terms) {
    if (name == "updates") value = std::to_string(updates);
  }
  run.configuration = parse_config(
      fmt::format("seed: {}\nmoe: {{router: {{kind: a}}}}\ntrain: {{steps: {}}}\n", seed, updates), "test");
  return run;
}

TEST_CASE("runs of the baseline at other costs give the effective speedup") {
  std::vector<ComparedRun> runs = sample_runs();
  for (const int64_t seed : {1, 2, 3}) {
    const double here = runs[seed - 1].quality;
    runs.push_back(other_cost(seed, here + 0.05, 10));
    runs.push_back(other_cost(seed, here - 0.04, 40));
  }
  const Comparison c = compare_runs(std::move(runs), {"a"}, {});
  CHECK(c.with(ComparedRun::Standing::other_cost).size() == 6);
  REQUIRE(c.configs.size() == 2);
  REQUIRE(c.costs.size() == 3);
  CHECK(c.costs[0].cost == Approx(c.reference().operations() / 2));
  const ComparedConfig& b = c.configs[1];
  // b is better by 0.02 where twice the cost is worth 0.04: about 2^0.48.
  CHECK(b.speedup.value > 1.3);
  CHECK(b.speedup.value < 1.5);
  CHECK(b.speedup.seeds == 3);
  CHECK_FALSE(b.speedup.extrapolated);
  CHECK(b.speedup.low < b.speedup.value);
  CHECK(b.speedup.high > b.speedup.value);
  // Its operations are as many, and a step takes 1.2 times as long.
  CHECK(b.time_speedup == Approx(b.speedup.value / 1.2));
  CHECK_THAT(comparison_text(c, false), Catch::Contains("trained at cost 0.5, 1, 2"));
}

TEST_CASE("a run at another cost that differs in more than its length is unfair") {
  std::vector<ComparedRun> runs = sample_runs();
  runs.push_back(other_cost(1, 2.05, 10));
  runs.push_back(other_cost(2, 2.15, 10));
  runs[6].configuration = parse_config("seed: 1\nmoe: {router: {kind: a}, experts: 3}\n", "test");
  runs[7].config = "b";
  const Comparison c = compare_runs(std::move(runs), {"a"}, {});
  CHECK(c.with(ComparedRun::Standing::unfair).size() == 2);
  CHECK(c.costs.empty());
  CHECK(std::isnan(c.configs[1].speedup.value));
}
