#include "core/inspect/scaling_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "core/inspect/minimise.h"

namespace moe {
namespace {

constexpr double kLowestExponent = 1e-4, kHighestExponent = 4;

struct Points {
  std::vector<double> x, loss, weight;  // x: logarithm of the cost over the reference
  double reference = 1;
};

// The scale that fits best for a given floor and exponent, and its weighted sum of squares.
struct Amplitude {
  double scale, squares;
};
Amplitude amplitude(const Points& p, double floor, double exponent) {
  double products = 0, norm = 0;
  for (size_t i = 0; i < p.x.size(); ++i) {
    const double e = std::exp(-exponent * p.x[i]);
    products += p.weight[i] * e * (p.loss[i] - floor);
    norm += p.weight[i] * e * e;
  }
  const double scale = products / norm;
  double squares = 0;
  for (size_t i = 0; i < p.x.size(); ++i)
    squares += p.weight[i] * std::pow(p.loss[i] - floor - scale * std::exp(-exponent * p.x[i]), 2);
  return {scale, squares};
}

double best_exponent(const Points& p, double floor) {
  return std::exp(minimise(std::log(kLowestExponent), std::log(kHighestExponent), 24,
                           [&](double log_exponent) { return amplitude(p, floor, std::exp(log_exponent)).squares; }));
}

Points prepared(const std::vector<ScalingPoint>& points) {
  Points p;
  double sum = 0, weights = 0;
  for (const ScalingPoint& point : points) {
    MOE_CHECK(point.cost > 0 && point.loss > 0, "a scaling curve through cost {} and loss {}", point.cost, point.loss);
    sum += point.weight * std::log(point.cost);
    weights += point.weight;
  }
  // In the middle of the points scale and exponent depend least on each other.
  p.reference = std::exp(sum / weights);
  for (const ScalingPoint& point : points) {
    p.x.push_back(std::log(point.cost / p.reference));
    p.loss.push_back(point.loss);
    p.weight.push_back(point.weight);
  }
  return p;
}

}  // namespace

double ScalingCurve::loss(double cost) const {
  return floor + scale * std::pow(cost / reference, -exponent);
}

double ScalingCurve::cost(double loss) const {
  if (loss <= floor) return std::numeric_limits<double>::infinity();
  return reference * std::pow((loss - floor) / scale, -1 / exponent);
}

ScalingCurve fit_scaling(const std::vector<ScalingPoint>& points) {
  return fit_scaling_together(std::span(&points, 1)).front();
}

std::vector<ScalingCurve> fit_scaling_together(std::span<const std::vector<ScalingPoint>> methods) {
  std::vector<Points> all;
  double lowest = std::numeric_limits<double>::infinity();
  size_t costs = 0;
  for (const std::vector<ScalingPoint>& points : methods) {
    std::set<double> different;
    for (const ScalingPoint& point : points) {
      different.insert(point.cost);
      lowest = std::min(lowest, point.loss);
    }
    MOE_CHECK(different.size() >= 2, "a scaling curve through {} cost(s)", different.size());
    costs = std::max(costs, different.size());
    all.push_back(prepared(points));
  }
  const auto squares = [&](double floor) {
    double sum = 0;
    for (const Points& p : all) sum += amplitude(p, floor, best_exponent(p, floor)).squares;
    return sum;
  };
  const double floor = costs < 3 ? 0 : minimise(0, lowest * (1 - 1e-6), 40, squares);
  std::vector<ScalingCurve> curves;
  for (const Points& p : all) {
    const double exponent = best_exponent(p, floor);
    curves.push_back({floor, amplitude(p, floor, exponent).scale, exponent, p.reference});
  }
  return curves;
}

}  // namespace moe
