// Statistics of a handful of values. Those that are NaN are left out.
#pragma once
#include <span>

namespace moe {

// NaN of no values.
double mean(std::span<const double> values);
double median(std::span<const double> values);
// Of a sample, divided by n - 1; NaN below two values.
double standard_deviation(std::span<const double> values);

}  // namespace moe
