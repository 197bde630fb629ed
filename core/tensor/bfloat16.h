// bf16: the upper half of an f32. It is used for storage only; arithmetic is in f32.
#pragma once
#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace moe {

struct BFloat16 {
  uint16_t bits = 0;
};

MOE_HOST_DEVICE inline float to_float(BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

// Rounds to nearest, ties to even; NaN stays NaN.
MOE_HOST_DEVICE inline BFloat16 to_bfloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace moe
