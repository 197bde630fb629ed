// Elementary functions written so that the compiler vectorises loops over them. f64 uses the exact library functions,
// because gradient checks run in f64.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/base/normal_tail.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

// e^x to 2 ulp: 2^n times a polynomial in the remainder, |remainder| <= ln(2)/2 (Cephes' expf coefficients). Inputs
// below -87.3 give at most about the smallest normal number; inputs above 88.7 a large finite number.
inline float fast_exp(float x) {
  x = x < -87.33f ? -87.33f : x;
  x = x > 88.37f ? 88.37f : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const float shifted = x * std::numbers::log2e_v<float> + magic;
  const float n = shifted - magic;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) << 23;
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
}
inline double fast_exp(double x) {
  return std::exp(x);
}

template <class T>
inline T sigmoid(T x) {
  return T(1) / (T(1) + fast_exp(-x));
}

template <class T>
inline T fast_tanh(T x) {
  return T(2) * sigmoid(T(2) * x) - T(1);
}

// The normal distribution function Phi(x) = erfc(-x / sqrt(2)) / 2, in f32 without cancellation in either tail.
inline float normal_cdf(float x) {
  const float z = (x < 0 ? -x : x) * 0.70710678118654752f, t = 1.0f / (1.0f + 0.5f * z);
  const float tail = 0.5f * t * fast_exp(tail_exponent(t) - z * z);
  return x < 0 ? tail : 1.0f - tail;
}
inline double normal_cdf(double x) {
  return 0.5 * std::erfc(-x * (1 / std::numbers::sqrt2));
}

}  // namespace moe::cpu::inline MOE_LEVEL
