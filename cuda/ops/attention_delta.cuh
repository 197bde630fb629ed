// delta = <O, dO> of a head of a token, which the gradient of softmax subtracts: dS = P (dP - delta).
#pragma once
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// Computed by a warp for its lanes.
template <class T>
__device__ inline float attention_delta(const T* out, const T* d_out, int64_t d_head) {
  float delta = 0;
  for (int64_t c = lane_index(); c < d_head; c += kWarp) delta += load(out + c) * load(d_out + c);
  return warp_sum(delta);
}

}  // namespace moe::cuda
