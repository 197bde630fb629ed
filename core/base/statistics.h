// Statistics of a few values. NaN values are ignored.
#pragma once
#include <span>

namespace moe {

// NaN if there are no values.
double mean(std::span<const double> values);
double median(std::span<const double> values);
// Sample standard deviation, with divisor n - 1; NaN for fewer than two values.
double standard_deviation(std::span<const double> values);

}  // namespace moe
