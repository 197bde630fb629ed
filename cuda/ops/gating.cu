#include "core/ops/gating.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

// One warp per token; lane l holds experts l, l + 32, ... Everything about routing is f32. The choice is an exact
// arg-max, ties to the smaller index, and sums are in the order of the lanes: the same bits every time.
template <int kPerLane>
__global__ void gating_forward_kernel(float* probabilities, float* logsumexp, int32_t* indices, float* weights,
                                      const float* logits, int64_t tokens, int experts, int k, bool divide) {
  const int64_t token = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (token >= tokens) return;  // whole warps leave; no barrier follows
  const int lane = lane_index();
  const float* z = logits + token * experts;
  float* p = probabilities + token * experts;
  int32_t* chosen = indices + token * k;

  float own[kPerLane], largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane + i * kWarp;
    own[i] = e < experts ? z[e] : -INFINITY;
    largest = fmaxf(largest, own[i]);
  }
  largest = warp_max(largest);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (lane + i * kWarp < experts) sum += expf(own[i] - largest);
  }
  sum = warp_sum(sum);
  if (lane == 0) logsumexp[token] = largest + logf(sum);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane + i * kWarp;
    if (e < experts) p[e] = expf(own[i] - largest) / sum;
    if (isnan(own[i])) own[i] = -INFINITY;  // chosen last
  }
  __syncwarp();  // p is read by all lanes below

  uint32_t taken = 0;  // of the lane's own experts: a bit each, because -inf may be a score
  float chosen_sum = 0;
  for (int j = 0; j < k; ++j) {
    Indexed best{-INFINITY, 0x7FFFFFFF};
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int e = lane + i * kWarp;
      if (e < experts && !(taken >> i & 1u)) best = larger(best, {own[i], e});
    }
    best = warp_argmax(best);
    if (best.index % kWarp == lane) taken |= 1u << (best.index / kWarp);
    chosen_sum += p[best.index];
    if (lane == 0) chosen[j] = best.index;
  }
  __syncwarp();
  const bool vanished = divide && chosen_sum == 0;
  for (int j = lane; j < k; j += kWarp) {
    weights[token * k + j] = vanished ? 1.0f / static_cast<float>(k) : p[chosen[j]] / (divide ? chosen_sum : 1.0f);
  }
}

// One warp per token. Chosen experts are distinct, so every logit has one writer.
static __global__ void gating_backward_kernel(float* d_logits, const float* d_weights, const float* probabilities,
                                              const int32_t* indices, const float* weights, int64_t tokens, int experts,
                                              int k, bool among_chosen) {
  const int64_t token = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
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

// ---- launchers -----------------------------------------------------------------------------------------------------

void gating_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, Tensor indices, Tensor weights,
                    ConstTensor logits, GatingOptions options) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  if (experts > 1024) raise<DeviceError>("{} experts: on CUDA a router chooses from at most 1024", experts);
  const auto kernel = experts <= 64    ? gating_forward_kernel<2>
                      : experts <= 256 ? gating_forward_kernel<8>
                                       : gating_forward_kernel<32>;
  launch(ctx, kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, probabilities.as<float>(),
         logsumexp.as<float>(), indices.as<int32_t>(), weights.as<float>(), logits.as<float>(), tokens,
         static_cast<int>(experts), static_cast<int>(indices.dim(1)),
         options.softmax_over_chosen || options.renormalise);
}

void gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor probabilities,
                     ConstTensor indices, ConstTensor weights, GatingOptions options) {
  const int64_t tokens = d_logits.dim(0);
  launch(ctx, gating_backward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, d_logits.as<float>(),
         d_weights.as<float>(), probabilities.as<float>(), indices.as<int32_t>(), weights.as<float>(), tokens,
         static_cast<int>(d_logits.dim(1)), static_cast<int>(indices.dim(1)),
         options.softmax_over_chosen || options.renormalise);
}

}  // namespace moe::cuda
