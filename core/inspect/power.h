// How many seeds show a difference: the power of the paired t-test, before anything is trained.
#pragma once
#include <cstdint>
#include <optional>

namespace moe {

inline constexpr double kPower = 0.8;  // the usual probability of seeing a difference that is there

// The probability that a two-sided paired t-test with n pairs has p below alpha, where the differences are normal with
// this mean and deviation. T has the noncentral t distribution with n - 1 degrees of freedom and the noncentrality
// delta = mean sqrt(n) / deviation: P(T <= t) is the integral over w > 0 of Phi(t w - delta) times the density of
// w = sqrt(chi^2 / (n - 1)) (Johnson, Kotz, Balakrishnan: Continuous Univariate Distributions 2, chapter 31). n >= 2.
double power_of_pairs(int64_t n, double mean, double deviation, double alpha);

// The smallest n >= 2 whose power is at least `power`; nothing above kMostPlannedSeeds.
inline constexpr int64_t kMostPlannedSeeds = 100'000;
std::optional<int64_t> pairs_needed(double mean, double deviation, double alpha, double power = kPower);

// The interval in which the true deviation is with this probability, as multiples of the deviation of n values:
// sqrt((n - 1) / quantile of chi^2). n >= 2.
struct DeviationRange {
  double low, high;
};
DeviationRange deviation_range(int64_t n, double probability);

}  // namespace moe
