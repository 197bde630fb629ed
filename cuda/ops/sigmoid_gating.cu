#include "core/ops/sigmoid_gating.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/tensor/copy.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/activation.cuh"
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One warp per token: a lane per expert, then per group. Shared memory of a warp: the groups' scores.
static __global__ void biased_sigmoid_scores_kernel(float* scores, const float* logits, const float* bias,
                                                    int64_t tokens, int64_t experts, GroupLimit limit) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const int lane = lane_index();
  const float* z = logits + t * experts;
  float* s = scores + t * experts;
  for (int64_t e = lane; e < experts; e += kWarp) s[e] = z[e] == -INFINITY ? -INFINITY : sigmoid(z[e]) + bias[e];
  if (limit.limit == limit.groups) return;
  __syncwarp();  // other lanes read s below
  float* of_groups = &shared_memory<float>() + warp_index() * limit.groups;
  const int64_t size = experts / limit.groups;
  for (int64_t g = lane; g < limit.groups; g += kWarp) of_groups[g] = group_score(s + g * size, size);
  __syncwarp();
  for (int64_t g = lane; g < limit.groups; g += kWarp) {
    int64_t better = 0;
    for (int64_t other = 0; other < limit.groups; ++other) {
      better += of_groups[other] > of_groups[g] || (of_groups[other] == of_groups[g] && other < g);
    }
    for (int64_t e = g * size; better >= limit.limit && e < (g + 1) * size; ++e) s[e] = -INFINITY;
  }
}

// One warp per token, a lane per slot.
static __global__ void sigmoid_weights_forward_kernel(float* weights, const float* logits, const int32_t* indices,
                                                      int64_t tokens, int64_t slots, int64_t experts,
                                                      SigmoidWeights options) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  float sum = 0;
  for (int64_t i = t * slots + lane_index(); i < (t + 1) * slots; i += kWarp) {
    weights[i] = indices[i] < 0 ? 0.0f : sigmoid(logits[t * experts + indices[i]]);
    sum += weights[i];
  }
  sum = warp_sum(sum);
  const float factor = static_cast<float>(options.scale) / (options.renormalise && sum > 0 ? sum : 1.0f);
  for (int64_t i = t * slots + lane_index(); i < (t + 1) * slots; i += kWarp) weights[i] *= factor;
}

// One warp per token; chosen experts are distinct, so every logit has one writer.
static __global__ void sigmoid_weights_backward_kernel(float* d_logits, const float* d_weights, const float* logits,
                                                       const int32_t* indices, int64_t tokens, int64_t slots,
                                                       int64_t experts, SigmoidWeights options) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  float sum = 0, dot = 0;
  for (int64_t i = t * slots + lane_index(); i < (t + 1) * slots; i += kWarp) {
    if (indices[i] < 0) continue;
    const float s = sigmoid(logits[t * experts + indices[i]]);
    sum += s;
    dot += s * d_weights[i];
  }
  sum = warp_sum(sum);
  dot = warp_sum(dot);
  const bool divide = options.renormalise && sum > 0;
  const float factor = static_cast<float>(options.scale) / (divide ? sum : 1.0f), mean = divide ? dot / sum : 0.0f;
  for (int64_t i = t * slots + lane_index(); i < (t + 1) * slots; i += kWarp) {
    if (indices[i] < 0) continue;
    const float s = sigmoid(logits[t * experts + indices[i]]);
    d_logits[t * experts + indices[i]] += factor * (d_weights[i] - mean) * s * (1.0f - s);
  }
}

// One warp per token.
static __global__ void sigmoid_shares_forward_kernel(float* shares, const float* logits, int64_t tokens,
                                                     int64_t experts) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const int64_t begin = t * experts + lane_index(), end = (t + 1) * experts;
  float sum = 0;
  for (int64_t i = begin; i < end; i += kWarp) sum += sigmoid(logits[i]);
  sum = warp_sum(sum);
  for (int64_t i = begin; i < end; i += kWarp) shares[i] = sum == 0 ? 0.0f : sigmoid(logits[i]) / sum;
}

// One warp per token.
static __global__ void sigmoid_shares_backward_kernel(float* d_logits, const float* shares, const float* logits,
                                                      const double* gradient, const int32_t* targets, int64_t tokens,
                                                      int experts) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  double mean = 0;
  for (int e = lane_index(); e < experts; e += kWarp)
    mean += gradient[e] * static_cast<double>(shares[t * experts + e]);
  mean = warp_sum(mean);
  for (int e = lane_index(); e < experts; e += kWarp) {
    const int64_t i = t * experts + e;
    d_logits[i] += static_cast<float>(gradient[e] - mean) * shares[i] * (1.0f - sigmoid(logits[i]));
  }
}

// One thread per expert. Each computes the mean in the order of the CPU, because at balance its last bit decides the
// comparison.
static __global__ void step_bias_kernel(float* bias, const double* counts, int64_t experts, double rate) {
  const int64_t e = thread_in_grid();
  if (e >= experts) return;
  double mean = 0;
  for (int64_t i = 0; i < experts; ++i) mean += counts[i] / static_cast<double>(experts);
  const double sign = counts[e] < mean ? 1 : counts[e] > mean ? -1 : 0;
  bias[e] += static_cast<float>(rate * sign);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void biased_sigmoid_scores(Context& ctx, Tensor scores, ConstTensor logits, ConstTensor bias, GroupLimit limit) {
  const int64_t tokens = logits.dim(0);
  const int64_t warps = std::clamp<int64_t>((int64_t{32} << 10) / (4 * limit.groups), 1, kThreads / kWarp);
  launch(ctx, biased_sigmoid_scores_kernel, blocks_for(tokens, warps), static_cast<int>(warps) * kWarp,
         static_cast<size_t>(warps * limit.groups) * sizeof(float), scores.as<float>(), logits.as<float>(),
         bias.as<float>(), tokens, logits.dim(1), limit);
}

void sigmoid_weights_forward(Context& ctx, Tensor weights, ConstTensor logits, ConstTensor indices,
                             SigmoidWeights options) {
  const int64_t tokens = indices.dim(0);
  launch(ctx, sigmoid_weights_forward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, weights.as<float>(),
         logits.as<float>(), indices.as<int32_t>(), tokens, indices.dim(1), logits.dim(1), options);
}

void sigmoid_weights_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor logits,
                              ConstTensor indices, SigmoidWeights options) {
  const int64_t tokens = indices.dim(0);
  launch(ctx, sigmoid_weights_backward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, d_logits.as<float>(),
         d_weights.as<float>(), logits.as<float>(), indices.as<int32_t>(), tokens, indices.dim(1), logits.dim(1),
         options);
}

void sigmoid_shares_forward(Context& ctx, Tensor shares, ConstTensor logits) {
  const int64_t tokens = logits.dim(0);
  launch(ctx, sigmoid_shares_forward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, shares.as<float>(),
         logits.as<float>(), tokens, logits.dim(1));
}

void sigmoid_shares_backward(Context& ctx, Tensor d_logits, ConstTensor shares, ConstTensor logits,
                             ConstTensor gradient, ConstTensor targets) {
  const int64_t tokens = logits.dim(0);
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, gradient);
  launch(ctx, sigmoid_shares_backward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, d_logits.as<float>(),
         shares.as<float>(), logits.as<float>(), here.as<double>(), targets.as<int32_t>(), tokens,
         static_cast<int>(logits.dim(1)));
}

void step_bias(Context& ctx, Tensor bias, ConstTensor counts, double rate) {
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, counts);
  launch(ctx, step_bias_kernel, blocks_for(bias.dim(0), 128), 128, 0, bias.as<float>(), here.as<double>(), bias.dim(0),
         rate);
}

}  // namespace moe::cuda
