#include "core/inspect/cost_curve.h"

#include <cmath>
#include <vector>

#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("a cost curve goes through three points, whatever its bend") {
  const std::vector<std::vector<double>> losses = {{3, 2.6, 2.4},    // falls slower and slower
                                                   {3, 2.7, 2.4},    // a straight line over the logarithm
                                                   {3, 2.75, 2.4}};  // falls faster and faster
  for (const std::vector<double>& y : losses) {
    const CostCurve curve = fit_cost_curve({{0.5, y[0]}, {1, y[1]}, {2, y[2]}});
    CHECK(curve.falls());
    CHECK(curve.loss(0.5) == Approx(y[0]).epsilon(1e-6));
    CHECK(curve.loss(1) == Approx(y[1]).epsilon(1e-6));
    CHECK(curve.loss(2) == Approx(y[2]).epsilon(1e-6));
    CHECK(curve.cost(curve.loss(1.3)) == Approx(1.3).epsilon(1e-6));
  }
}

TEST_CASE("a cost curve with a floor is a power law") {
  const auto law = [](double cost) { return 1.5 + 2 * std::pow(cost, -0.3); };
  const CostCurve curve = fit_cost_curve({{1, law(1)}, {3, law(3)}, {9, law(9)}, {27, law(27)}});
  CHECK(curve.bend == Approx(-0.3).epsilon(1e-3));
  CHECK(curve.loss(100) == Approx(law(100)).epsilon(1e-4));
  CHECK(std::isinf(curve.cost(1.4)));
}

TEST_CASE("a cost curve through two points is straight over the logarithm") {
  const CostCurve curve = fit_cost_curve({{1, 3}, {4, 2}});
  CHECK(curve.bend == 0);
  CHECK(curve.loss(2) == Approx(2.5));
  CHECK(curve.cost(2.5) == Approx(2));
}

TEST_CASE("a cost curve that does not fall says so") {
  CHECK_FALSE(fit_cost_curve({{1, 2}, {2, 2.1}, {4, 2.3}}).falls());
  CHECK_FALSE(fit_cost_curve({{1, 2}, {2, 2}, {4, 2}}).falls());
}
