#include "core/ops/info_nce.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

// One block per anchor, which reads its row of products three times and writes it once. Sums are in the order of lanes
// and warps.
static __global__ void diagonal_cross_entropy_kernel(float* losses, float* a, const int32_t* targets, int64_t n,
                                                     float inverse, float scale) {
  float* slots = &shared_memory<float>();
  const int64_t anchor = blockIdx.x;
  float* row = a + anchor * n;
  if (targets[anchor] == kIgnoreTarget) {  // the condition is the same for the whole block
    if (threadIdx.x == 0) losses[anchor] = 0;
    for (int64_t i = threadIdx.x; scale != 0 && i < n; i += blockDim.x) row[i] = 0;
    return;
  }
  const auto logit = [&](int64_t i) { return targets[i] == kIgnoreTarget ? -INFINITY : row[i] * inverse; };
  const float own = row[anchor] * inverse;
  float largest = -INFINITY;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) largest = fmaxf(largest, logit(i));
  largest = block_max(largest, slots);
  float sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += expf(logit(i) - largest);
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) losses[anchor] = largest + logf(sum) - own;
  if (scale == 0) return;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    row[i] = expf(logit(i) - largest) * (scale / sum) - (i == anchor ? scale : 0.0f);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void diagonal_cross_entropy(Context& ctx, Tensor losses, Tensor a, double temperature, double factor,
                            ConstTensor targets) {
  const int64_t n = a.dim(0);
  launch(ctx, diagonal_cross_entropy_kernel, blocks_for(n, 1), kThreads, 32 * sizeof(float), losses.as<float>(),
         a.as<float>(), targets.as<int32_t>(), n, static_cast<float>(1 / temperature),
         static_cast<float>(factor / temperature));
}

}  // namespace moe::cuda
