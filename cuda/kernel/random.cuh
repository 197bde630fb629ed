// Numbers of a RandomKey on the device.
#pragma once
#include "core/base/philox.h"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// RandomKey::normal, by the same formula in f64: equal to the host's but for the last bit of an f32 where the
// mathematics libraries differ.
__device__ inline float normal(const RandomKey& key, uint64_t element) {
  const auto w = key.words(element);
  const double radius = sqrt(-2.0 * log((static_cast<double>(w[0]) + 0.5) * 0x1p-32));
  return static_cast<float>(radius * cos(6.283185307179586 * (static_cast<double>(w[1]) * 0x1p-32)));
}

}  // namespace moe::cuda
