#include "core/inspect/scaling_fit.h"

#include <cmath>
#include <vector>

#include "tests/support/catch.h"

using namespace moe;

static std::vector<ScalingPoint> points_of(double floor, double scale, double exponent, std::vector<double> costs) {
  std::vector<ScalingPoint> points;
  for (const double cost : costs) points.push_back({cost, floor + scale * std::pow(cost, -exponent)});
  return points;
}

TEST_CASE("a scaling fit finds the curve that its points are on") {
  const ScalingCurve curve = fit_scaling(points_of(1.2, 3, 0.3, {1, 2, 4, 8, 16}));
  CHECK(curve.floor == Approx(1.2).epsilon(1e-3));
  CHECK(curve.exponent == Approx(0.3).epsilon(1e-2));
  CHECK(curve.loss(32) == Approx(1.2 + 3 * std::pow(32, -0.3)).epsilon(1e-4));
  CHECK(curve.cost(curve.loss(5)) == Approx(5));
  CHECK(std::isinf(curve.cost(1.1)));
}

TEST_CASE("a scaling fit does not depend on the unit of the cost") {
  const ScalingCurve one = fit_scaling(points_of(1, 2, 0.2, {1, 2, 4}));
  std::vector<ScalingPoint> scaled = points_of(1, 2, 0.2, {1, 2, 4});
  for (ScalingPoint& point : scaled) point.cost *= 1e15;
  const ScalingCurve other = fit_scaling(scaled);
  CHECK(other.floor == Approx(one.floor).epsilon(1e-9));
  CHECK(other.loss(3e15) == Approx(one.loss(3)).epsilon(1e-9));
}

TEST_CASE("methods share the floor of a scaling fit, and two points of one method are enough") {
  const std::vector<ScalingCurve> curves =
      fit_scaling_together(std::vector{points_of(1.5, 2, 0.25, {1, 2, 4, 8}), points_of(1.5, 1.8, 0.25, {1, 2, 4, 8}),
                                       points_of(1.5, 1.6, 0.4, {1, 8})});
  REQUIRE(curves.size() == 3);
  for (const ScalingCurve& curve : curves) CHECK(curve.floor == Approx(1.5).epsilon(2e-3));
  CHECK(curves[2].exponent == Approx(0.4).epsilon(2e-2));
}

TEST_CASE("without a third cost the floor is 0, and a loss that does not fall gives a flat curve") {
  const ScalingCurve two = fit_scaling(points_of(1, 2, 0.2, {1, 4}));
  CHECK(two.floor == 0);
  CHECK(two.loss(1) == Approx(3));
  CHECK(two.loss(4) == Approx(1 + 2 * std::pow(4, -0.2)));
  const ScalingCurve flat = fit_scaling({{1, 2}, {2, 2.01}, {4, 2.02}});
  CHECK(flat.loss(1) == Approx(2.01).epsilon(1e-3));
  CHECK(flat.loss(4) == Approx(2.01).epsilon(1e-3));
}

TEST_CASE("points with larger weights attract the curve more") {
  // A curve of two parameters cannot go through four such points.
  std::vector<ScalingPoint> points{{1, 3, 1}, {1, 2, 3}, {4, 1.5, 1}};
  const ScalingCurve curve = fit_scaling(points);
  CHECK(curve.loss(1) == Approx(2.25));
  CHECK(curve.loss(4) == Approx(1.5));
}
