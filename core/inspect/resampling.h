// Intervals by drawing the observations again with replacement (the bootstrap: Efron, 1979).
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "core/base/function_ref.h"

namespace moe {

constexpr int kResamplings = 2000;

using Resample = std::vector<size_t>;  // indices of observations, as many as there are

// The lowest and highest of the middle 95 % of `statistic` over `count` resamples of n observations. The draws are the
// same in each call. Infinite values count as large ones.
std::pair<double, double> resampled_interval(int count, size_t n, FunctionRef<double(const Resample&)> statistic);

}  // namespace moe
