// delta = <O, dO> of a head of a token, which the gradient of softmax subtracts: dS = P (dP - delta).
#pragma once
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// A lane's part of it, which warp_sum() completes.
template <class T>
__device__ inline float attention_delta_part(const T* out, const T* d_out, int64_t d_head) {
  float part = 0;
  for (int64_t c = lane_index(); c < d_head; c += kWarp) part += load(out + c) * load(d_out + c);
  return part;
}

}  // namespace moe::cuda
