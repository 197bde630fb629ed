#include "core/inspect/power.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/check.h"
#include "core/inspect/paired_difference.h"

namespace moe {
namespace {

// The logarithm of the density of w = sqrt(chi^2 / degrees).
double log_chi_density(double w, double degrees) {
  return std::log(2.0) + degrees / 2 * std::log(degrees / 2) - std::lgamma(degrees / 2) + (degrees - 1) * std::log(w) -
         degrees * w * w / 2;
}

// The integral of weight(w) times this density over (0, end), by Simpson's rule. w has the mean 1 and the deviation
// 1 / sqrt(2 degrees), nearly.
double chi_integral(double degrees, double end, const std::function<double(double)>& weight) {
  const double spread = 12 / std::sqrt(2 * degrees);
  const double low = std::max(1e-12, 1 - spread), high = std::min(end, 1 + spread);
  if (high <= low) return 0;
  constexpr int kIntervals = 2000;
  const double step = (high - low) / kIntervals;
  double sum = 0;
  for (int i = 0; i <= kIntervals; ++i) {
    const double w = low + i * step, factor = i == 0 || i == kIntervals ? 1 : i % 2 == 1 ? 4 : 2;
    sum += factor * weight(w) * std::exp(log_chi_density(w, degrees));
  }
  return sum * step / 3;
}

double normal_probability(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}

}  // namespace

double power_of_pairs(int64_t n, double mean, double deviation, double alpha) {
  MOE_CHECK(n >= 2 && deviation > 0, "the power of {} pairs of deviation {}", n, deviation);
  const auto degrees = static_cast<double>(n - 1);
  const double t = student_t(1 - alpha, n - 1), delta = std::abs(mean) * std::sqrt(static_cast<double>(n)) / deviation;
  return chi_integral(degrees, HUGE_VAL,
                      [&](double w) { return normal_probability(delta - t * w) + normal_probability(-t * w - delta); });
}

std::optional<int64_t> pairs_needed(double mean, double deviation, double alpha, double power) {
  const auto suffices = [&](int64_t n) { return power_of_pairs(n, mean, deviation, alpha) >= power; };
  int64_t high = 2;
  while (!suffices(high)) {
    if (high >= kMostPlannedSeeds) return std::nullopt;
    high = std::min(2 * high, kMostPlannedSeeds);
  }
  for (int64_t low = 2; low < high;) {
    const int64_t middle = (low + high) / 2;
    if (suffices(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return high;
}

DeviationRange deviation_range(int64_t n, double probability) {
  MOE_CHECK(n >= 2, "the deviation of {} values", n);
  const auto degrees = static_cast<double>(n - 1);
  const auto quantile = [&](double p) {
    double low = 0, high = 1 + 12 / std::sqrt(2 * degrees);
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      const double below = chi_integral(degrees, middle, [](double) { return 1.0; });
      (below < p ? low : high) = middle;
    }
    return (low + high) / 2;
  };
  const double tail = (1 - probability) / 2;
  return {.low = 1 / quantile(1 - tail), .high = 1 / quantile(tail)};
}

}  // namespace moe
