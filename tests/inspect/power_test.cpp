#include "core/inspect/power.h"

#include <cmath>

#include "core/inspect/paired_difference.h"
#include "tests/support/catch.h"

using namespace moe;

// The figures of G*Power and of R's power.t.test(type = "paired").
TEST_CASE("the number of pairs for a power of 80 % is that of the tables") {
  CHECK(pairs_needed(0.2, 1, 0.05) == 199);
  CHECK(pairs_needed(0.5, 1, 0.05) == 34);
  CHECK(pairs_needed(0.8, 1, 0.05) == 15);
  CHECK(pairs_needed(-0.01, 0.01, 0.05) == 10);
  CHECK(power_of_pairs(10, 1, 1, 0.05) == Approx(0.8031).margin(1e-3));
  CHECK(power_of_pairs(34, 0.5, 1, 0.05) == Approx(0.8078).margin(1e-3));
}

TEST_CASE("without a difference the power is the error that is allowed") {
  for (const int64_t n : {2, 3, 10, 200}) CHECK(power_of_pairs(n, 0, 1, 0.05) == Approx(0.05).margin(1e-4));
}

// With one degree of freedom w is |Z|, and T = (Z + delta) / |Z'|, whose distribution for delta = 0 is Cauchy's.
TEST_CASE("a large difference needs two seeds, a tiny one more than can be trained") {
  CHECK(pairs_needed(1000, 1, 0.05) == 2);
  CHECK_FALSE(pairs_needed(1e-6, 1, 0.05));
  CHECK(power_of_pairs(2, 1000, 1, 0.05) == Approx(1).margin(1e-3));
  CHECK(pairs_needed(1, 1, 0.05).value() < pairs_needed(1, 1, 0.01).value());
}

TEST_CASE("a deviation of few values is known to within a wide interval") {
  // chi^2 with 2 degrees of freedom has the quantiles -2 ln(1 - p).
  const DeviationRange three = deviation_range(3, 0.95);
  CHECK(three.low == Approx(std::sqrt(2 / (-2 * std::log(0.025)))).epsilon(1e-4));
  CHECK(three.high == Approx(std::sqrt(2 / (-2 * std::log(0.975)))).epsilon(1e-4));
  // With 1 degree of freedom it is the square of a normal variable: 0.0313 and 2.2414.
  const DeviationRange two = deviation_range(2, 0.95);
  CHECK(two.low == Approx(1 / 2.24140).epsilon(1e-3));
  CHECK(two.high == Approx(1 / 0.031338).epsilon(1e-3));
}
