// Compares two configurations seed by seed. The effects of a seed that both have in common (initial values, order of
// the data) cancel, so far fewer runs show a difference than without pairing.
#pragma once
#include <cstdint>
#include <vector>

namespace moe {

// The t for which a Student-t variable is in [-t, t] with this probability, in (0, 1).
double student_t(double probability, int64_t degrees_of_freedom);

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

}  // namespace moe
