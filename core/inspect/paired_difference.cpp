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

}  // namespace moe
