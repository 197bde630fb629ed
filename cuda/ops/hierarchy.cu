#include "core/ops/hierarchy.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/softmax_row.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// A GroupChoice in the form that kernels use; n: number of experts, or groups, to choose from.
struct Choice {
  explicit Choice(const GroupChoice& c)
      : logits(c.logits.as<float>()),
        logsumexp(c.logsumexp.as<float>()),
        weights(c.weights.as<float>()),
        skip(c.skip ? c.skip.as<float>() : nullptr),
        indices(c.indices.as<int32_t>()),
        n(c.logits.dim(1)),
        k(c.indices.dim(1)) {}

  // The slot in which a token has chosen expert (or group) `wanted`, or -1.
  __device__ int64_t slot_of(int64_t token, int64_t wanted) const {
    for (int64_t j = 0; j < k; ++j) {
      if (indices[token * k + j] == wanted) return j;
    }
    return -1;
  }

  const float *logits, *logsumexp, *weights, *skip;
  const int32_t* indices;
  int64_t n, k;
};

static __global__ void targets_in_group_kernel(int32_t* inside, const int32_t* targets, const int32_t* choices,
                                               int64_t tokens, int64_t count, int64_t group) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  bool chosen = false;
  for (int64_t j = t * count; j < (t + 1) * count; ++j) chosen |= choices[j] == group;
  inside[t] = chosen ? targets[t] : kIgnoreTarget;
}

// One warp per token, a lane per expert of the group and then per slot of its choice.
static __global__ void compose_group_kernel(float* log_probabilities, int32_t* indices, float* weights, float* skip,
                                            int64_t tokens, int64_t experts, int64_t m, int64_t group, int64_t first,
                                            Choice groups, Choice inner) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const int lane = lane_index();
  const float offset = groups.logits[t * groups.n + group] - groups.logsumexp[t] - inner.logsumexp[t];
  for (int64_t e = lane; e < inner.n; e += kWarp) {
    log_probabilities[t * experts + first + e] = inner.logits[t * inner.n + e] + offset;
  }
  for (int64_t i = lane; group == 0 && i < groups.k * m; i += kWarp) {  // a slot without a group has no experts
    if (groups.indices[t * groups.k + i / m] >= 0) continue;
    indices[t * groups.k * m + i] = -1;
    weights[t * groups.k * m + i] = 0;
  }
  const int64_t slot = groups.slot_of(t, group);
  if (slot < 0) return;
  const float share = groups.weights[t * groups.k + slot];
  if (inner.skip && lane == 0) skip[t] += share * inner.skip[t];
  for (int64_t j = lane; j < m; j += kWarp) {
    const int64_t to = (t * groups.k + slot) * m + j, from = t * inner.k + j;
    const bool empty = j >= inner.k || inner.indices[from] < 0;
    indices[to] = empty ? -1 : static_cast<int32_t>(first) + inner.indices[from];
    weights[to] = empty ? 0.0f : share * inner.weights[from];
  }
}

// The destination of a group's part of the gradients.
struct GroupGradient {
  float *inner_logits, *inner_weights, *inner_skip, *group_log_probabilities, *group_weights;
};

// One warp per token.
static __global__ void compose_group_backward_kernel(GroupGradient to, const float* d_log_probabilities,
                                                     const float* d_weights, const float* d_skip, int64_t tokens,
                                                     int64_t experts, int64_t m, int64_t group, int64_t first,
                                                     Choice groups, Choice inner) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const int lane = lane_index();
  const float sum = log_softmax_row_backward(to.inner_logits + t * inner.n, d_log_probabilities + t * experts + first,
                                             inner.logits + t * inner.n, inner.logsumexp[t], inner.n);
  if (lane == 0) to.group_log_probabilities[t * groups.n + group] += sum;
  const int64_t slot = groups.slot_of(t, group);
  const float share = slot < 0 ? 0.0f : groups.weights[t * groups.k + slot];
  float dot = 0;
  for (int64_t j = lane; j < inner.k; j += kWarp) {
    const float from = slot < 0 ? 0.0f : d_weights[(t * groups.k + slot) * m + j];
    to.inner_weights[t * inner.k + j] = share * from;
    dot += inner.weights[t * inner.k + j] * from;
  }
  dot = warp_sum(dot);
  if (lane > 0) return;
  if (inner.skip) {
    to.inner_skip[t] = slot < 0 ? 0.0f : share * d_skip[t];
    dot += slot < 0 ? 0.0f : inner.skip[t] * d_skip[t];
  }
  if (slot >= 0) to.group_weights[t * groups.k + slot] += dot;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void targets_in_group(Context& ctx, Tensor inside, ConstTensor targets, ConstTensor choices, int64_t group) {
  const int64_t tokens = targets.dim(0);
  launch(ctx, targets_in_group_kernel, blocks_for(tokens, kThreads), kThreads, 0, inside.as<int32_t>(),
         targets.as<int32_t>(), choices.as<int32_t>(), tokens, choices.dim(1), group);
}

void compose_group(Context& ctx, Tensor log_probabilities, Tensor indices, Tensor weights, Tensor skip, int64_t group,
                   int64_t first, const GroupChoice& groups, const GroupChoice& inner) {
  const int64_t tokens = inner.logits.dim(0);
  launch(ctx, compose_group_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, log_probabilities.as<float>(),
         indices.as<int32_t>(), weights.as<float>(), inner.skip ? skip.as<float>() : nullptr, tokens,
         log_probabilities.dim(1), indices.dim(1) / groups.indices.dim(1), group, first, Choice(groups), Choice(inner));
}

void compose_group_backward(Context& ctx, Tensor d_inner_logits, Tensor d_inner_weights, Tensor d_inner_skip,
                            Tensor d_group_log_probabilities, Tensor d_group_weights, ConstTensor d_log_probabilities,
                            ConstTensor d_weights, ConstTensor d_skip, int64_t group, int64_t first,
                            const GroupChoice& groups, const GroupChoice& inner) {
  const int64_t tokens = inner.logits.dim(0);
  const GroupGradient to{.inner_logits = d_inner_logits.as<float>(),
                         .inner_weights = d_inner_weights.as<float>(),
                         .inner_skip = inner.skip ? d_inner_skip.as<float>() : nullptr,
                         .group_log_probabilities = d_group_log_probabilities.as<float>(),
                         .group_weights = d_group_weights.as<float>()};
  launch(ctx, compose_group_backward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, to,
         d_log_probabilities.as<float>(), d_weights.as<float>(), inner.skip ? d_skip.as<float>() : nullptr, tokens,
         d_log_probabilities.dim(1), d_weights.dim(1) / groups.indices.dim(1), group, first, Choice(groups),
         Choice(inner));
}

}  // namespace moe::cuda
