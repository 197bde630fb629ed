// The minimum of a function of one variable.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

namespace moe {

// Where f is least on [low, high]: the best point of a grid of `grid` intervals, refined between its neighbours by
// golden sections (Kiefer, 1953).
template <class F>
double minimise(double low, double high, int grid, F f) {
  const double step = (high - low) / grid;
  int best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= grid; ++i) {
    const double value = f(low + step * i);
    if (value < least) least = value, best = i;
  }
  double a = low + step * std::max(best - 1, 0), b = low + step * std::min(best + 1, grid);
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double c = b - golden * (b - a), d = a + golden * (b - a), at_c = f(c), at_d = f(d);
  for (int i = 0; i < 40; ++i) {
    if (at_c < at_d) {
      b = d, d = c, at_d = at_c;
      c = b - golden * (b - a), at_c = f(c);
    } else {
      a = c, c = d, at_c = at_d;
      d = a + golden * (b - a), at_d = f(d);
    }
  }
  const double middle = (a + b) / 2;
  // The ends of the interval are allowed values, which golden sections only approach.
  if (best == 0 && f(low) <= f(middle)) return low;
  return middle;
}

}  // namespace moe
