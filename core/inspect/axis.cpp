#include "core/inspect/axis.h"

#include <fmt/core.h>

#include <cmath>

namespace moe {

double Axis::position(double value) const {
  return log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
}

// The smallest of 1, 2, 5, 10 times a power of ten that is at least `x`.
static double round_up(double x) {
  const double power = std::pow(10.0, std::floor(std::log10(x)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= x * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

Axis linear_axis(double low, double high, int wanted) {
  if (!(high > low)) {
    const double margin = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= margin;
    high += margin;
  }
  Axis axis{low, high, false, {}};
  // Fewer than three ticks are too few to read values from. This happens when the rounded step is much larger than the
  // wanted one.
  for (double parts = wanted; axis.ticks.size() < 3; parts *= 2) {
    const double step = round_up((high - low) / parts);
    axis.ticks.clear();
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) axis.ticks.push_back(i * step);
  }
  return axis;
}

Axis log_axis(double low, double high) {
  if (!(high > low * 1.01)) {
    low /= 2;
    high *= 2;
  }
  Axis axis{low, high, true, {}};
  const bool dense = std::log10(high / low) < 2.5;
  for (double power = std::pow(10.0, std::floor(std::log10(low))); power <= high; power *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * power;
      if ((factor == 1 || dense) && tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) axis.ticks.push_back(tick);
    }
  }
  return axis;
}

std::string tick_label(double value) {
  const double size = std::abs(value);
  if (size < 1e-12) return "0";
  if (size < 1e-3) {
    const double exponent = std::floor(std::log10(size) + 1e-9);
    return fmt::format("{:.3g}e{:.0f}", value / std::pow(10.0, exponent), exponent);
  }
  if (size >= 1e9) return fmt::format("{:.4g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

}  // namespace moe
