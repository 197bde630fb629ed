#include "core/ops/gating.h"

#include <algorithm>
#include <cfloat>
#include <type_traits>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

// In all kernels here one warp processes a token; lane l holds experts l, l + 32, ... All routing values are f32. The
// choice is an exact arg-max with ties to the smaller index, and sums are in the order of the lanes, so results are
// deterministic to the bit.

// The lane's part of a row; -inf past its end.
template <int kPerLane>
static __device__ void load_row(float (&own)[kPerLane], const float* row, int experts) {
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane_index() + i * kWarp;
    own[i] = e < experts ? row[e] : -INFINITY;
  }
}

// Softmax of the row that the lanes hold; returns its log-sum-exp.
template <int kPerLane>
static __device__ float softmax_row(float* p, const float (&own)[kPerLane], int experts) {
  float largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) largest = fmaxf(largest, own[i]);
  largest = warp_max(largest);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (lane_index() + i * kWarp < experts) sum += expf(own[i] - largest);
  }
  sum = warp_sum(sum);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane_index() + i * kWarp;
    if (e < experts) p[e] = expf(own[i] - largest) / sum;
  }
  return largest + logf(sum);
}

// Selects the `count` largest of the row that the lanes hold: NaN last, never -inf; -1 in the remaining slots. Removes
// the chosen elements from the row.
template <int kPerLane>
static __device__ void select_row(int32_t* chosen, float (&own)[kPerLane], int slots, int count) {
  constexpr int kNone = 0x7FFFFFFF;  // an index that is larger than all others and so loses ties
  const int lane = lane_index();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (isnan(own[i])) own[i] = -FLT_MAX;
  }
  for (int j = 0; j < count; ++j) {
    Indexed best{-INFINITY, kNone};
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (own[i] > -INFINITY) best = larger(best, {own[i], lane + i * kWarp});
    }
    best = warp_argmax(best);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (lane + i * kWarp == best.index) own[i] = -INFINITY;
    }
    if (lane == 0) chosen[j] = best.index == kNone ? -1 : best.index;
  }
  for (int j = count + lane; j < slots; j += kWarp) chosen[j] = -1;
}

// Computes the weights of one token's slots from its probabilities.
static __device__ void weigh_row(float* w, const float* p, const int32_t* chosen, int slots, bool divide) {
  float sum = 0, filled = 0;
  for (int j = lane_index(); j < slots; j += kWarp) {
    if (chosen[j] < 0) continue;
    sum += p[chosen[j]];
    filled += 1;
  }
  sum = warp_sum(sum);
  filled = warp_sum(filled);
  const bool vanished = divide && sum == 0;  // the experts were chosen by other scores, and their probabilities are all
                                             // 0
  for (int j = lane_index(); j < slots; j += kWarp) {
    w[j] = chosen[j] < 0 ? 0.0f : vanished ? 1.0f / filled : p[chosen[j]] / (divide ? sum : 1.0f);
  }
}

template <int kPerLane>
__global__ void gating_forward_kernel(float* probabilities, float* logsumexp, int32_t* indices, float* weights,
                                      const float* logits, int64_t tokens, int experts, int k, bool divide) {
  const int64_t token = warp_in_grid();
  if (token >= tokens) return;  // whole warps return; no barrier follows
  float* p = probabilities + token * experts;
  int32_t* chosen = indices + token * k;
  float own[kPerLane];
  load_row(own, logits + token * experts, experts);
  const float lse = softmax_row(p, own, experts);
  if (lane_index() == 0) logsumexp[token] = lse;
  select_row(chosen, own, k, k);
  __syncwarp();  // p and the choice are read by all lanes below
  weigh_row(weights + token * k, p, chosen, k, divide);
}

template <int kPerLane>
__global__ void softmax_forward_kernel(float* probabilities, float* logsumexp, const float* logits, int64_t tokens,
                                       int experts) {
  const int64_t token = warp_in_grid();
  if (token >= tokens) return;
  float own[kPerLane];
  load_row(own, logits + token * experts, experts);
  const float lse = softmax_row(probabilities + token * experts, own, experts);
  if (lane_index() == 0) logsumexp[token] = lse;
}

template <int kPerLane>
__global__ void select_top_k_kernel(int32_t* indices, const float* scores, int64_t tokens, int experts, int slots,
                                    int active) {
  const int64_t token = warp_in_grid();
  if (token >= tokens) return;
  float own[kPerLane];
  load_row(own, scores + token * experts, experts);
  select_row(indices + token * slots, own, slots, active);
}

static __global__ void chosen_weights_kernel(float* weights, const float* probabilities, const int32_t* indices,
                                             int64_t tokens, int experts, int slots, bool divide) {
  const int64_t token = warp_in_grid();
  if (token >= tokens) return;
  weigh_row(weights + token * slots, probabilities + token * experts, indices + token * slots, slots, divide);
}

// One warp per token. Chosen experts are distinct, so every logit has one writer.
static __global__ void gating_backward_kernel(float* d_logits, const float* d_weights, const float* probabilities,
                                              const int32_t* indices, const float* weights, int64_t tokens, int experts,
                                              int k, bool among_chosen) {
  const int64_t token = warp_in_grid();
  if (token >= tokens) return;
  const int lane = lane_index();
  float dot = 0;
  for (int j = lane; j < k; j += kWarp) dot += weights[token * k + j] * d_weights[token * k + j];
  dot = warp_sum(dot);
  float* out = d_logits + token * experts;
  for (int j = lane; j < k; j += kWarp) {
    const int64_t slot = token * k + j;
    if (indices[slot] >= 0) out[indices[slot]] += weights[slot] * (d_weights[slot] - (among_chosen ? dot : 0.0f));
  }
  if (among_chosen) return;
  __syncwarp();
  for (int e = lane; e < experts; e += kWarp) out[e] -= probabilities[token * experts + e] * dot;
}

static __global__ void mask_experts_kernel(float* logits, const int32_t* closed, int64_t size, int64_t period) {
  const int64_t i = thread_in_grid();
  if (i < size && closed[i % period] != 0) logits[i] = -INFINITY;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Calls body(N), a constant: the number of experts that a lane holds.
template <class Body>
static void for_experts(int64_t experts, Body body) {
  if (experts > 1024) raise<DeviceError>("{} experts; on CUDA a router supports at most 1024", experts);
  if (experts <= 64) return body(std::integral_constant<int, 2>{});
  if (experts <= 256) return body(std::integral_constant<int, 8>{});
  body(std::integral_constant<int, 32>{});
}

static dim3 blocks_of(int64_t tokens) {
  return blocks_for(tokens, kThreads / kWarp);
}

void gating_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, Tensor indices, Tensor weights,
                    ConstTensor logits, GatingOptions options) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  for_experts(experts, [&]<int N>(std::integral_constant<int, N>) {
    launch(ctx, gating_forward_kernel<N>, blocks_of(tokens), kThreads, 0, probabilities.as<float>(),
           logsumexp.as<float>(), indices.as<int32_t>(), weights.as<float>(), logits.as<float>(), tokens,
           static_cast<int>(experts), static_cast<int>(indices.dim(1)),
           options.softmax_over_chosen || options.renormalise);
  });
}

void softmax_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  for_experts(experts, [&]<int N>(std::integral_constant<int, N>) {
    launch(ctx, softmax_forward_kernel<N>, blocks_of(tokens), kThreads, 0, probabilities.as<float>(),
           logsumexp.as<float>(), logits.as<float>(), tokens, static_cast<int>(experts));
  });
}

void select_top_k(Context& ctx, Tensor indices, ConstTensor scores, int64_t active) {
  const int64_t tokens = scores.dim(0), experts = scores.dim(1);
  for_experts(experts, [&]<int N>(std::integral_constant<int, N>) {
    launch(ctx, select_top_k_kernel<N>, blocks_of(tokens), kThreads, 0, indices.as<int32_t>(), scores.as<float>(),
           tokens, static_cast<int>(experts), static_cast<int>(indices.dim(1)), static_cast<int>(active));
  });
}

void chosen_weights(Context& ctx, Tensor weights, ConstTensor probabilities, ConstTensor indices,
                    GatingOptions options) {
  const int64_t tokens = indices.dim(0);
  launch(ctx, chosen_weights_kernel, blocks_of(tokens), kThreads, 0, weights.as<float>(), probabilities.as<float>(),
         indices.as<int32_t>(), tokens, static_cast<int>(probabilities.dim(1)), static_cast<int>(indices.dim(1)),
         options.softmax_over_chosen || options.renormalise);
}

void mask_experts(Context& ctx, Tensor logits, ConstTensor closed) {
  launch(ctx, mask_experts_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, logits.as<float>(),
         closed.as<int32_t>(), logits.size(), std::max<int64_t>(closed.size(), 1));
}

void gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor probabilities,
                     ConstTensor indices, ConstTensor weights, GatingOptions options) {
  const int64_t tokens = d_logits.dim(0);
  launch(ctx, gating_backward_kernel, blocks_of(tokens), kThreads, 0, d_logits.as<float>(), d_weights.as<float>(),
         probabilities.as<float>(), indices.as<int32_t>(), weights.as<float>(), tokens,
         static_cast<int>(d_logits.dim(1)), static_cast<int>(indices.dim(1)),
         options.softmax_over_chosen || options.renormalise);
}

}  // namespace moe::cuda
