// The frequencies of rotary positions, and how they are changed to extend a model's context. Formulas: Su et al., 2021
// (none), Chen et al., 2023, arXiv 2306.15595 (linear), and Llama 3.1's published code (llama3).
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/base/host_device.h"

namespace moe {

struct RopeFrequencies {
  enum class Scaling { none, linear, llama3 };

  int64_t dims = 0;  // rotated dimensions of a head, an even number
  double theta = 10000;
  Scaling scaling = Scaling::none;
  double factor = 1;  // frequencies are divided by it: all of them, or with llama3 the low ones
  // llama3: a pair whose wavelength is below original_max_position / high_freq_factor keeps its frequency. One whose
  // wavelength is above original_max_position / low_freq_factor has it divided by `factor`. Between them the two are
  // interpolated.
  double low_freq_factor = 1, high_freq_factor = 4, original_max_position = 8192;

  // The angle in radians by which pair `pair` is rotated for each position, pair < dims / 2.
  MOE_HOST_DEVICE double at(int64_t pair) const {
    const double plain = std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(dims));
    if (scaling == Scaling::none) return plain;
    if (scaling == Scaling::linear) return plain / factor;
    const double periods = original_max_position * plain / (2 * std::numbers::pi);  // in the original context
    if (periods > high_freq_factor) return plain;
    if (periods < low_freq_factor) return plain / factor;
    const double share = (periods - low_freq_factor) / (high_freq_factor - low_freq_factor);
    return (1 - share) * plain / factor + share * plain;
  }
};

}  // namespace moe
