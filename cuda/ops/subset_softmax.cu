#include "core/ops/subset_softmax.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr int kWarps = kThreads / kWarp;

static __device__ bool contains(const int32_t* indices, int k, int expert) {
  for (int j = 0; j < k; ++j) {
    if (indices[j] == expert) return true;
  }
  return false;
}

// One warp per token; each lane owns every 32nd expert. Sums are added in a fixed order.
static __global__ void subset_softmax_kernel(float* probabilities, float* logsumexp, const float* logits,
                                             const int32_t* indices, int64_t tokens, int n, int k, bool chosen) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const float* z = logits + t * n;
  float* p = probabilities + t * n;
  const int32_t* own = indices + t * k;
  float largest = -INFINITY;
  for (int i = lane_index(); i < n; i += kWarp) {
    if (contains(own, k, i) == chosen) largest = fmaxf(largest, z[i]);
  }
  largest = warp_max(largest);
  float sum = 0;
  for (int i = lane_index(); i < n; i += kWarp) {
    p[i] = largest > -INFINITY && contains(own, k, i) == chosen ? expf(z[i] - largest) : 0.0f;
    sum += p[i];
  }
  sum = warp_sum(sum);
  if (sum > 0) {
    for (int i = lane_index(); i < n; i += kWarp) p[i] /= sum;
  }
  if (lane_index() == 0) logsumexp[t] = sum > 0 ? largest + logf(sum) : 0.0f;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void subset_softmax(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits, ConstTensor indices,
                    bool chosen) {
  const int64_t tokens = logits.dim(0);
  launch(ctx, subset_softmax_kernel, blocks_for(tokens, kWarps), kThreads, 0, probabilities.as<float>(),
         logsumexp.as<float>(), logits.as<float>(), indices.as<int32_t>(), tokens, static_cast<int>(logits.dim(1)),
         static_cast<int>(indices.dim(1)), chosen);
}

}  // namespace moe::cuda
