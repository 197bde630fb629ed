// Maps floats to integers of the same order, for radix selection.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace moe::cuda {

// NaN is below all other values; both zeros have the same key.
__device__ inline uint32_t key_of(float x) {
  if (isnan(x)) return 0;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

}  // namespace moe::cuda
