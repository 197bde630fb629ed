// The squared coefficient of variation of sums, i.e. variance over squared mean. It is not the root of that, because a
// square root has no derivative at perfect balance.
#pragma once
#include <span>

namespace moe {

// N sum x^2 / (sum x)^2 - 1; 0 if the sum is 0
inline double squared_variation(std::span<const double> x) {
  double sum = 0, squares = 0;
  for (const double value : x) sum += value, squares += value * value;
  return sum == 0 ? 0 : static_cast<double>(x.size()) * squares / (sum * sum) - 1;
}

// Sets gradient to factor * the derivative of squared_variation(x).
inline void squared_variation_backward(std::span<double> gradient, std::span<const double> x, double factor) {
  double sum = 0, squares = 0;
  for (const double value : x) sum += value, squares += value * value;
  const double scale = sum == 0 ? 0 : 2 * factor * static_cast<double>(x.size()) / (sum * sum);
  for (size_t i = 0; i < x.size(); ++i) gradient[i] = sum == 0 ? 0 : scale * (x[i] - squares / sum);
}

}  // namespace moe
