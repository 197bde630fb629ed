// Rounding to bf16, to the nearest even number, in the way of the processors' instructions: denormal numbers become
// zero of the same sign, NaNs become quiet. bf16 has f32's exponents, so what rounds to a denormal bf16 is a denormal.
#pragma once
#include <bit>
#include <cstdint>

#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

// The upper half is the bf16 number, the lower half is zero. Without branches, so that loops over it are vectorised.
static inline uint32_t rounded_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const uint32_t nearest = bits + 0x7fffu + (bits >> 16 & 1);
  uint32_t result = magnitude > 0x7f800000u ? bits | 0x00400000u : nearest;
  result = magnitude < 0x00800000u ? bits & 0x80000000u : result;
  return result & 0xffff0000u;
}

static inline float round_to_bf16(float x) {
  return std::bit_cast<float>(rounded_bits(x));
}

}  // namespace moe::cpu::inline MOE_LEVEL
