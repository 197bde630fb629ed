#include "core/inspect/paired_difference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/check.h"
#include "core/base/statistics.h"

namespace moe {

// The probability of [-t, t] with t = sqrt(degrees) * tan(angle). For an integer number of degrees of freedom it is a
// finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4).
static double student_coverage(double angle, int64_t degrees) {
  const double sine = std::sin(angle), cosine = std::cos(angle);
  const bool odd = degrees % 2 == 1;
  double sum = 0, term = odd ? cosine : 1;
  for (int64_t i = odd ? 1 : 0; i <= degrees - 2; i += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(i + 1) / static_cast<double>(i + 2);
  }
  return odd ? 2 / std::numbers::pi * (angle + sine * sum) : sine * sum;
}

double student_t(double probability, int64_t degrees_of_freedom) {
  MOE_CHECK(probability > 0 && probability < 1 && degrees_of_freedom >= 1, "student_t({}, {})", probability,
            degrees_of_freedom);
  double low = 0, high = std::numbers::pi / 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (student_coverage(middle, degrees_of_freedom) < probability ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees_of_freedom)) * std::tan(low);
}

double student_p(double t, int64_t degrees_of_freedom) {
  if (std::isinf(t)) return 0;
  const double angle = std::atan(std::abs(t) / std::sqrt(static_cast<double>(degrees_of_freedom)));
  return std::max(0.0, 1 - student_coverage(angle, degrees_of_freedom));
}

PairedDifference paired_difference(std::vector<double> differences) {
  PairedDifference result{std::move(differences), 0, std::numeric_limits<double>::quiet_NaN()};
  const auto pairs = static_cast<int64_t>(result.differences.size());
  result.mean = mean(result.differences);
  if (pairs >= 2) {
    result.half_width = student_t(kConfidence, pairs - 1) * standard_deviation(result.differences) /
                        std::sqrt(static_cast<double>(pairs));
  }
  return result;
}

UnpairedDifference unpaired_difference(const std::vector<double>& values, const std::vector<double>& baseline) {
  MOE_CHECK(values.size() == baseline.size(), "{} values and {} of the baseline", values.size(), baseline.size());
  UnpairedDifference result;
  result.mean = mean(values) - mean(baseline);
  const auto n = static_cast<double>(values.size());
  if (values.size() < 2) return result;
  const double a = std::pow(standard_deviation(values), 2) / n, b = std::pow(standard_deviation(baseline), 2) / n;
  // Welch and Satterthwaite's degrees of freedom, rounded down.
  const double degrees = a + b > 0 ? (a + b) * (a + b) * (n - 1) / (a * a + b * b) : n - 1;
  result.half_width = student_t(kConfidence, std::max<int64_t>(1, static_cast<int64_t>(degrees))) * std::sqrt(a + b);
  if (values.size() < 3 || a == 0 || b == 0) return result;
  double products = 0;
  for (size_t i = 0; i < values.size(); ++i) products += (values[i] - mean(values)) * (baseline[i] - mean(baseline));
  result.correlation = products / (n - 1) / (n * std::sqrt(a * b));
  return result;
}

}  // namespace moe
