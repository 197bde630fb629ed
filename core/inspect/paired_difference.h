// Compares two configurations seed by seed. The effects of a seed that both have in common (initial values, order of
// the data) cancel, so far fewer runs show a difference than without pairing.
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

namespace moe {

// The t for which a Student-t variable is in [-t, t] with this probability, in (0, 1).
double student_t(double probability, int64_t degrees_of_freedom);
// The probability that a Student-t variable is outside [-|t|, |t|].
double student_p(double t, int64_t degrees_of_freedom);

struct PairedDifference {
  std::vector<double> differences;  // one per seed
  double mean = 0;                  // NaN without a pair
  double half_width = 0;            // of the confidence interval; NaN below two pairs

  double low() const { return mean - half_width; }
  double high() const { return mean + half_width; }
  bool has_interval() const { return differences.size() >= 2; }
  bool excludes_zero() const { return has_interval() && (low() > 0 || high() < 0); }
};

constexpr double kConfidence = 0.95;

PairedDifference paired_difference(std::vector<double> differences);

// The interval without pairing (Welch's, 1947), and how much pairing helped: 1 - correlation of the variance is left.
struct UnpairedDifference {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double half_width = std::numeric_limits<double>::quiet_NaN();   // NaN below two values on a side
  double correlation = std::numeric_limits<double>::quiet_NaN();  // of the pairs; NaN below three of them
};

// values[i] and baseline[i] are a pair.
UnpairedDifference unpaired_difference(const std::vector<double>& values, const std::vector<double>& baseline);

}  // namespace moe
