#include "core/inspect/effective_speedup.h"

#include <cmath>
#include <vector>

#include "core/inspect/resampling.h"
#include "tests/support/catch.h"

using namespace moe;

// loss = 1 + 2 C^-0.25, and seeds that are all alike but for a constant.
static double curve(double cost) {
  return 1 + 2 * std::pow(cost, -0.25);
}
static CostedRuns runs_at(double cost, double loss, std::vector<double> of_seeds = {-0.01, 0, 0.01}) {
  CostedRuns runs{.cost = cost};
  for (size_t i = 0; i < of_seeds.size(); ++i) runs.loss_of_seed[static_cast<int64_t>(i) + 1] = loss + of_seeds[i];
  return runs;
}
static std::vector<CostedRuns> baseline() {
  return {runs_at(50, curve(50)), runs_at(100, curve(100)), runs_at(200, curve(200))};
}

TEST_CASE("the effective speedup is the baseline's cost of a loss over the method's cost") {
  const EffectiveSpeedup s = effective_speedup(baseline(), runs_at(100, curve(130)));
  CHECK(s.value == Approx(1.3).epsilon(1e-3));
  CHECK(s.seeds == 3);
  CHECK_FALSE(s.extrapolated);
  // What the seeds have in common cancels.
  CHECK(s.low == Approx(1.3).epsilon(0.02));
  CHECK(s.high == Approx(1.3).epsilon(0.02));
  // The same loss for more operations.
  CHECK(effective_speedup(baseline(), runs_at(200, curve(130))).value == Approx(0.65).epsilon(1e-3));
  // The baseline itself.
  CHECK(effective_speedup(baseline(), baseline()[1]).value == Approx(1).epsilon(1e-6));
}

TEST_CASE("a loss that the baseline did not reach at any of its costs is extrapolated") {
  CHECK(effective_speedup(baseline(), runs_at(100, curve(300))).extrapolated);
  CHECK(effective_speedup(baseline(), runs_at(100, curve(30))).extrapolated);
  CHECK(effective_speedup(baseline(), runs_at(100, 0.9)).value == HUGE_VAL);
}

TEST_CASE("only seeds that all costs have count in an effective speedup") {
  std::vector<CostedRuns> costs = baseline();
  costs[0].loss_of_seed.erase(3);
  CHECK(effective_speedup(costs, runs_at(100, curve(130))).seeds == 2);
  CostedRuns one{.cost = 100, .loss_of_seed = {{1, curve(130)}}};
  const EffectiveSpeedup s = effective_speedup(costs, one);
  CHECK_FALSE(std::isnan(s.value));
  CHECK(std::isnan(s.low));
  CHECK(std::isnan(effective_speedup(costs, {.cost = 100, .loss_of_seed = {{7, 1.5}}}).value));
  costs.resize(1);
  CHECK(std::isnan(effective_speedup(costs, runs_at(100, curve(130))).value));
}

TEST_CASE("the interval of an effective speedup grows with what seeds do not have in common") {
  const EffectiveSpeedup s = effective_speedup(baseline(), runs_at(100, curve(130), {0.02, -0.03, 0.01}));
  CHECK(s.low < s.value);
  CHECK(s.high > s.value);
  CHECK(s.high - s.low > 0.1);
}

TEST_CASE("resampling covers the mean of a large sample") {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(i % 2 == 0 ? 1 : -1);  // deviation 1, standard error 0.05
  const auto [low, high] = resampled_interval(2000, values.size(), [&](const Resample& resample) {
    double sum = 0;
    for (const size_t i : resample) sum += values[i];
    return sum / static_cast<double>(resample.size());
  });
  CHECK(low == Approx(-0.098).margin(0.01));
  CHECK(high == Approx(0.098).margin(0.01));
}
