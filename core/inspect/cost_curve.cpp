#include "core/inspect/cost_curve.h"

#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "core/inspect/minimise.h"

namespace moe {
namespace {

constexpr double kLowestBend = -4, kHighestBend = 2;

// (exp(bend * x) - 1) / bend, also for a bend of 0.
double bent(double x, double bend) {
  return std::abs(bend) < 1e-9 ? x : std::expm1(bend * x) / bend;
}

struct Line {
  double level = 0, slope = 0, squares = 0;
};

// The line of least squares over the bent axis.
Line fit_line(const std::vector<ScalingPoint>& points, double reference, double bend) {
  double weights = 0, mean_x = 0, mean_y = 0, products = 0, norm = 0;
  const auto x_of = [&](const ScalingPoint& p) { return bent(std::log(p.cost / reference), bend); };
  for (const ScalingPoint& p : points) {
    weights += p.weight;
    mean_x += p.weight * x_of(p);
    mean_y += p.weight * p.loss;
  }
  mean_x /= weights;
  mean_y /= weights;
  for (const ScalingPoint& p : points) {
    products += p.weight * (x_of(p) - mean_x) * (p.loss - mean_y);
    norm += p.weight * (x_of(p) - mean_x) * (x_of(p) - mean_x);
  }
  Line line{.level = 0, .slope = products / norm};
  line.level = mean_y - line.slope * mean_x;
  for (const ScalingPoint& p : points)
    line.squares += p.weight * std::pow(p.loss - line.level - line.slope * x_of(p), 2);
  return line;
}

}  // namespace

double CostCurve::loss(double cost) const {
  return level + slope * bent(std::log(cost / reference), bend);
}

double CostCurve::cost(double loss) const {
  const double height = (loss - level) / slope;
  if (std::abs(bend) < 1e-9) return reference * std::exp(height);
  const double power = 1 + bend * height;
  if (power <= 0) return bend < 0 ? std::numeric_limits<double>::infinity() : 0;
  return reference * std::pow(power, 1 / bend);
}

CostCurve fit_cost_curve(const std::vector<ScalingPoint>& points) {
  std::set<double> costs;
  double sum = 0, weights = 0;
  for (const ScalingPoint& p : points) {
    MOE_CHECK(p.cost > 0 && std::isfinite(p.loss), "a curve through cost {} and loss {}", p.cost, p.loss);
    costs.insert(p.cost);
    sum += p.weight * std::log(p.cost);
    weights += p.weight;
  }
  MOE_CHECK(costs.size() >= 2, "a curve through {} cost(s)", costs.size());
  CostCurve curve{.level = 0, .slope = 0, .bend = 0, .reference = std::exp(sum / weights)};
  if (costs.size() > 2) {
    curve.bend = minimise(kLowestBend, kHighestBend, 48,
                          [&](double bend) { return fit_line(points, curve.reference, bend).squares; });
  }
  const Line line = fit_line(points, curve.reference, curve.bend);
  curve.level = line.level;
  curve.slope = line.slope;
  return curve;
}

}  // namespace moe
