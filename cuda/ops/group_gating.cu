#include "core/ops/group_gating.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

struct Range {
  int64_t begin, end;
};
static __device__ Range range_of(int64_t group, int64_t groups, int64_t experts) {
  return {group * experts / groups, (group + 1) * experts / groups};
}

static __device__ float log_sum_exp(const float* x, Range range) {
  float largest = x[range.begin];
  for (int64_t e = range.begin + 1; e < range.end; ++e) largest = fmaxf(largest, x[e]);
  float sum = 0;
  for (int64_t e = range.begin; e < range.end; ++e) sum += expf(x[e] - largest);
  return largest + logf(sum);
}

// All kernels here have one thread per token and group, which processes the group's contiguous experts: groups are
// small, and neighbouring threads read neighbouring memory.

static __global__ void group_logits_forward_kernel(float* logits, const float* outer, const float* inner, int64_t size,
                                                   int64_t experts, int64_t groups) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const Range range = range_of(i % groups, groups, experts);
  const float* b = inner + i / groups * experts;
  const float offset = outer[i] - log_sum_exp(b, range);
  for (int64_t e = range.begin; e < range.end; ++e) logits[i / groups * experts + e] = offset + b[e];
}

static __global__ void group_logits_backward_kernel(float* d_outer, float* d_inner, const float* d_logits,
                                                    const float* inner, int64_t size, int64_t experts, int64_t groups) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const Range range = range_of(i % groups, groups, experts);
  const float *b = inner + i / groups * experts, *d = d_logits + i / groups * experts;
  const float logsumexp = log_sum_exp(b, range);
  float sum = 0;
  for (int64_t e = range.begin; e < range.end; ++e) sum += d[e];
  d_outer[i] = sum;
  for (int64_t e = range.begin; e < range.end; ++e) {
    d_inner[i / groups * experts + e] = d[e] - expf(b[e] - logsumexp) * sum;
  }
}

// i: index of a token and one of its chosen groups. The chosen experts are kept sorted while the group is read, as on
// the CPU.
static __global__ void select_within_groups_kernel(int32_t* indices, const int32_t* chosen_groups, const float* scores,
                                                   int64_t size, int64_t chosen, int64_t experts, int64_t groups,
                                                   int64_t k) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const float* s = scores + i / chosen * experts;
  const auto number = [&](int64_t e) { return isnan(s[e]) ? -INFINITY : s[e]; };
  const Range range = range_of(chosen_groups[i], groups, experts);
  int32_t* best = indices + i * k;
  int64_t count = 0;
  for (int64_t e = range.begin; e < range.end; ++e) {
    if (count == k && !(number(e) > number(best[k - 1]))) continue;
    int64_t at = count < k ? count++ : k - 1;
    for (; at > 0 && number(e) > number(best[at - 1]); --at) best[at] = best[at - 1];
    best[at] = static_cast<int32_t>(e);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void group_logits_forward(Context& ctx, Tensor logits, ConstTensor outer, ConstTensor inner) {
  launch(ctx, group_logits_forward_kernel, blocks_for(outer.size(), kThreads), kThreads, 0, logits.as<float>(),
         outer.as<float>(), inner.as<float>(), outer.size(), inner.dim(1), outer.dim(1));
}

void group_logits_backward(Context& ctx, Tensor d_outer, Tensor d_inner, ConstTensor d_logits, ConstTensor inner) {
  launch(ctx, group_logits_backward_kernel, blocks_for(d_outer.size(), kThreads), kThreads, 0, d_outer.as<float>(),
         d_inner.as<float>(), d_logits.as<float>(), inner.as<float>(), d_outer.size(), inner.dim(1), d_outer.dim(1));
}

void select_within_groups(Context& ctx, Tensor indices, ConstTensor chosen_groups, ConstTensor scores, int64_t groups,
                          int64_t k) {
  launch(ctx, select_within_groups_kernel, blocks_for(chosen_groups.size(), kThreads), kThreads, 0,
         indices.as<int32_t>(), chosen_groups.as<int32_t>(), scores.as<float>(), chosen_groups.size(),
         chosen_groups.dim(1), scores.dim(1), groups, k);
}

}  // namespace moe::cuda
