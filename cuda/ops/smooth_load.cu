#include "core/ops/smooth_load.h"

#include <algorithm>

#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kWarps = 8;

// Lower bound of the deviation: the probability is then a step, but finite.
static constexpr double kLeastDeviation = 1e-6;

// The k-th and the next largest of a token's noisy logits, found by a warp, and whether an expert is among the k.
struct Threshold {
  int kth = -1, next = -1;  // expert indices; next is -1 when all experts are chosen

  __device__ Threshold(const float* noisy, const int32_t* chosen, int experts, int64_t slots) {
    int k = 0;
    for (int64_t i = lane_index(); i < slots; i += kWarp) k += chosen[i] >= 0;
    k = warp_sum(k);
    for (int e = lane_index(); e < experts; e += kWarp) {
      int rank = 0;
      for (int other = 0; other < experts; ++other) {
        rank += noisy[other] > noisy[e] || (noisy[other] == noisy[e] && other < e);
      }
      if (rank == k - 1) kth = e;
      if (rank == k) next = e;
    }
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      kth = max(kth, __shfl_xor_sync(kAllLanes, kth, offset));
      next = max(next, __shfl_xor_sync(kAllLanes, next, offset));
    }
  }
  // The expert whose noisy logit expert e has to exceed; -1 for none.
  __device__ int of(const float* noisy, int e) const {
    if (next < 0 || kth < 0) return -1;
    return noisy[e] > noisy[kth] || e == kth || (noisy[e] == noisy[kth] && e < kth) ? next : kth;
  }
};

// Copies a token's noisy logits to the warp's part of shared memory, (warps, experts) f32 from `rows` on.
static __device__ const float* keep_row(float* rows, const float* noisy, int64_t t, int experts) {
  float* own = rows + warp_index() * experts;
  __syncwarp();  // all lanes have finished reading the previous row
  for (int e = lane_index(); e < experts; e += kWarp) own[e] = noisy[t * experts + e];
  __syncwarp();
  return own;
}

// One warp per token, strided over the grid; lane l adds up experts l, l + 32, ... of its warp's sums. Shared memory:
// sums (warps, experts) f64, rows (warps, experts) f32. partial (blocks, experts).
static __global__ void smooth_load_sums_kernel(double* partial, const float* clean, const float* noisy,
                                               const float* deviation, const int32_t* indices, const int32_t* targets,
                                               int64_t tokens, int experts, int64_t slots) {
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  double* own = own_sums<double>(experts);
  float* rows = reinterpret_cast<float*>(&shared_memory<double>() + warps * experts);
  for (int64_t t = warp_in_grid(); t < tokens; t += warps_in_grid()) {
    if (targets[t] == kIgnoreTarget) continue;
    const float* row = keep_row(rows, noisy, t, experts);
    const Threshold threshold(row, indices + t * slots, experts, slots);
    for (int e = lane_index(); e < experts; e += kWarp) {
      const int rival = threshold.of(row, e);
      const double sigma = max(static_cast<double>(deviation[t * experts + e]), kLeastDeviation);
      const double distance =
          rival < 0 ? 0.0 : static_cast<double>(row[rival]) - static_cast<double>(clean[t * experts + e]);
      own[e] += rival < 0 ? 1.0 : 0.5 * erfc(distance / sigma * 0.70710678118654752440);
    }
  }
  add_up_warps(partial, experts);
}

// One warp per token. The gradients of the two threshold logits are summed over the lanes, in their order. Shared
// memory: rows (warps, experts) f32.
static __global__ void smooth_load_backward_kernel(float* d_noisy, float* d_deviation, const float* clean,
                                                   const float* noisy, const float* deviation, const int32_t* indices,
                                                   const double* gradient, const int32_t* targets, int64_t tokens,
                                                   int experts, int64_t slots) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  const float* row = keep_row(&shared_memory<float>(), noisy, t, experts);
  const Threshold threshold(row, indices + t * slots, experts, slots);
  if (threshold.next < 0 || threshold.kth < 0) return;  // the whole warp returns
  float *d_h = d_noisy + t * experts, *d_s = d_deviation + t * experts;
  double to_next = 0, to_kth = 0;
  for (int e = lane_index(); e < experts; e += kWarp) {
    const int rival = threshold.of(row, e);
    const double c = static_cast<double>(clean[t * experts + e]);
    const double sigma = max(static_cast<double>(deviation[t * experts + e]), kLeastDeviation);
    const double u = (c - static_cast<double>(row[rival])) / sigma;
    const double slope = gradient[e] * exp(-0.5 * u * u) / (2.5066282746310005024 * sigma);  // sqrt(2 pi)
    const double noise = (static_cast<double>(row[e]) - c) / sigma;
    d_h[e] += static_cast<float>(slope);
    d_s[e] -= static_cast<float>(slope * (u + noise));
    (rival == threshold.next ? to_next : to_kth) += slope;
  }
  to_next = warp_sum(to_next);  // also ensures that all lanes have written d_h
  to_kth = warp_sum(to_kth);
  __syncwarp();
  if (lane_index() > 0) return;
  d_h[threshold.next] -= static_cast<float>(to_next);
  d_h[threshold.kth] -= static_cast<float>(to_kth);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void smooth_load_sums(Context& ctx, Tensor sums, ConstTensor clean, ConstTensor noisy, ConstTensor deviation,
                      ConstTensor indices, ConstTensor targets) {
  const int64_t tokens = clean.dim(0), experts = clean.dim(1);
  const int64_t warps = std::clamp<int64_t>((int64_t{96} << 10) / (12 * experts), 1, kWarps);
  const int blocks = partials_for(tokens, warps);
  ScratchScope scratch(ctx);
  double* partial = scratch.allocate(Shape{blocks, experts}, DType::f64).as<double>();
  launch(ctx, smooth_load_sums_kernel, dim3(static_cast<unsigned>(blocks)), static_cast<int>(warps) * kWarp,
         static_cast<size_t>(12 * warps * experts), partial, clean.as<float>(), noisy.as<float>(),
         deviation.as<float>(), indices.as<int32_t>(), targets.as<int32_t>(), tokens, static_cast<int>(experts),
         indices.dim(1));
  add_to_sums(ctx, {sums}, partial, experts, blocks);
}

void smooth_load_backward(Context& ctx, Tensor d_noisy, Tensor d_deviation, ConstTensor clean, ConstTensor noisy,
                          ConstTensor deviation, ConstTensor indices, ConstTensor gradient, ConstTensor targets) {
  const int64_t tokens = clean.dim(0), experts = clean.dim(1);
  const int64_t warps = std::clamp<int64_t>((int64_t{96} << 10) / (4 * experts), 1, kWarps);
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, gradient);
  launch(ctx, smooth_load_backward_kernel, blocks_for(tokens, warps), static_cast<int>(warps) * kWarp,
         static_cast<size_t>(4 * warps * experts), d_noisy.as<float>(), d_deviation.as<float>(), clean.as<float>(),
         noisy.as<float>(), deviation.as<float>(), indices.as<int32_t>(), here.as<double>(), targets.as<int32_t>(),
         tokens, static_cast<int>(experts), indices.dim(1));
}

}  // namespace moe::cuda
