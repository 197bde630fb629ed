#include "core/ops/softmax.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/softmax_row.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One warp per row.
static __global__ void softmax_backward_kernel(float* d_z, const float* d_p, const float* p, int64_t rows, int64_t n) {
  const int64_t r = warp_in_grid();
  if (r >= rows) return;
  float mean = 0;
  for (int64_t i = r * n + lane_index(); i < (r + 1) * n; i += kWarp) mean += p[i] * d_p[i];
  mean = warp_sum(mean);
  for (int64_t i = r * n + lane_index(); i < (r + 1) * n; i += kWarp) d_z[i] += p[i] * (d_p[i] - mean);
}

// One warp per row.
static __global__ void log_softmax_backward_kernel(float* d_z, const float* d_log_p, const float* z,
                                                   const float* logsumexp, int64_t rows, int64_t n) {
  const int64_t r = warp_in_grid();
  if (r >= rows) return;
  log_softmax_row_backward(d_z + r * n, d_log_p + r * n, z + r * n, logsumexp[r], n);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_p, ConstTensor p) {
  const int64_t rows = p.dim(0);
  launch(ctx, softmax_backward_kernel, blocks_for(rows, kThreads / kWarp), kThreads, 0, d_z.as<float>(),
         d_p.as<float>(), p.as<float>(), rows, p.dim(1));
}

void log_softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_log_p, ConstTensor z, ConstTensor logsumexp) {
  const int64_t rows = z.dim(0);
  launch(ctx, log_softmax_backward_kernel, blocks_for(rows, kThreads / kWarp), kThreads, 0, d_z.as<float>(),
         d_log_p.as<float>(), z.as<float>(), logsumexp.as<float>(), rows, z.dim(1));
}

}  // namespace moe::cuda
