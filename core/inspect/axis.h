// An axis with round ticks.
#pragma once
#include <string>
#include <vector>

namespace moe {

struct Axis {
  double low = 0, high = 1;
  bool log = false;
  std::vector<double> ticks;  // inside [low, high]

  // 0 at `low`, 1 at `high`; values outside map outside [0, 1].
  double position(double value) const;
};

// Covers [low, high], which may be a single point; about `wanted` ticks at 1, 2 or 5 times a power of ten. The ends are
// not rounded.
Axis linear_axis(double low, double high, int wanted);
// Positive ends; ticks at powers of ten, and at 2 and 5 times them when there is room.
Axis log_axis(double low, double high);

// Formats a number in short form: 0, 0.25, 1.5, 20k, 3M, 3e-4.
std::string tick_label(double value);

}  // namespace moe
