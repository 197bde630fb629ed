// The gradient of a row of ln softmax, by one warp.
#pragma once
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// d_z += d - softmax * sum of d, for one row, computed by a warp; returns the sum.
__device__ inline float log_softmax_row_backward(float* d_z, const float* d, const float* z, float logsumexp,
                                                 int64_t n) {
  float sum = 0;
  for (int64_t i = lane_index(); i < n; i += kWarp) sum += d[i];
  sum = warp_sum(sum);
  for (int64_t i = lane_index(); i < n; i += kWarp) d_z[i] += d[i] - expf(z[i] - logsumexp) * sum;
  return sum;
}

}  // namespace moe::cuda
