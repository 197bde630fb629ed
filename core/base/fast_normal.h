// Normal random numbers in f32 arithmetic only, for noise on every activation: compilers vectorise loops over them, and
// GPUs with few f64 units are not slowed down. Use RandomKey::normal for numbers that are drawn once, such as initial
// values.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/base/host_device.h"

namespace moe {

// ln x for normal x > 0, with a relative error of 1e-7 (Cephes' logf coefficients).
MOE_HOST_DEVICE inline float fast_log(float x) {
  const auto bits = __builtin_bit_cast(int32_t, x);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;  // leaves a mantissa in [sqrt(1/2), sqrt(2))
  const float m = __builtin_bit_cast(float, bits - (exponent << 23)) - 1.0f, square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const auto n = static_cast<float>(exponent);
  return m + (p * m * square - 2.12194440e-4f * n - 0.5f * square) + 0.693359375f * n;
}

struct SineCosine {
  float sine, cosine;
};

// Sine and cosine of the angle 2 pi u, 0 <= u < 1, with an error of 1e-7 (Cephes' sinf and cosf coefficients).
MOE_HOST_DEVICE inline SineCosine fast_turn(float u) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const float shifted = u * 4.0f + magic;
  const auto quarter = __builtin_bit_cast(int32_t, shifted);
  const float r = (u - (shifted - magic) * 0.25f) * (2 * std::numbers::pi_v<float>), z = r * r;
  const float sine = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  const float cosine =
      ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  const bool odd = (quarter & 1) != 0;
  const float a = odd ? cosine : sine, b = odd ? sine : cosine;
  const uint32_t sign_a = (static_cast<uint32_t>(quarter) & 2u) << 30,
                 sign_b = (static_cast<uint32_t>(quarter + 1) & 2u) << 30;
  return {__builtin_bit_cast(float, __builtin_bit_cast(uint32_t, a) ^ sign_a),
          __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, b) ^ sign_b)};
}

struct NormalPair {
  float first, second;
};

// Two independent standard normal numbers from two random words, by Box and Muller; at most 5.9 in absolute value.
MOE_HOST_DEVICE inline NormalPair fast_normal_pair(uint32_t word0, uint32_t word1) {
  const float u = (static_cast<float>(static_cast<int32_t>(word0 >> 8)) + 0.5f) * 0x1p-24f;
  const float radius = std::sqrt(-2.0f * fast_log(u));
  const SineCosine turn = fast_turn(static_cast<float>(static_cast<int32_t>(word1 >> 8)) * 0x1p-24f);
  return {radius * turn.cosine, radius * turn.sine};
}

}  // namespace moe
