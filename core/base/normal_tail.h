// The polynomial of the normal distribution's tail, for CPU and GPU.
#pragma once
#include "core/base/host_device.h"

namespace moe {

// P(t) in erfc(z) = t exp(P(t) - z^2) with t = 1 / (1 + z / 2), z >= 0, of degree 9. Fitted to log(erfc(z) / t) + z^2
// for z up to 10 at Chebyshev nodes: 4.8e-8 off at most, so erfc is exact to f32's rounding also far out.
MOE_HOST_DEVICE inline float tail_exponent(float t) {
  float p = 0.14493021363176364f;
  p = p * t - 0.6808271773179357f;
  p = p * t + 1.1567337560782622f;
  p = p * t - 0.6962518975702434f;
  p = p * t - 0.08028043324952269f;
  p = p * t + 0.0012675869173356486f;
  p = p * t + 0.03460279982316222f;
  p = p * t + 0.38664041218574563f;
  p = p * t + 0.9986327833341955f;
  return p * t - 1.2654479969014794f;
}

}  // namespace moe
