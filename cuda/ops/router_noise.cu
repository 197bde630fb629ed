#include "core/ops/router_noise.h"

#include <algorithm>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per element, whose index in the global batch starts at `first`.
template <class T>
__global__ void jitter_kernel(T* x, float amplitude, RandomKey key, int64_t first, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const float u = key.uniform(static_cast<uint64_t>(first + i));
  store(x + i, load(x + i) * (1.0f + amplitude * (2.0f * u - 1.0f)));
}

// One warp per token. Shared memory of a warp: the token's random values (experts).
static __global__ void drop_experts_kernel(float* logits, uint32_t threshold, int64_t keep, RandomKey key,
                                           int64_t first_token, int64_t tokens_per_draw, int64_t tokens,
                                           int64_t experts) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  uint32_t* number = &shared_memory<uint32_t>() + warp_index() * experts;
  const int64_t draw = (first_token + t) / tokens_per_draw;
  for (int64_t e = lane_index(); e < experts; e += kWarp) {
    number[e] = key.words(static_cast<uint64_t>(draw * experts + e))[0];
  }
  __syncwarp();
  for (int64_t e = lane_index(); e < experts; e += kWarp) {
    const uint32_t mine = number[e];
    if (mine >= threshold) continue;
    int64_t before = 0;
    for (int64_t other = 0; other < experts && before < keep; ++other) {
      before += number[other] > mine || (number[other] == mine && other < e);
    }
    if (before >= keep) logits[t * experts + e] = -INFINITY;
  }
}

static __global__ void noisy_logits_forward_kernel(float* noisy, float* deviation, const float* clean, const float* raw,
                                                   float strength, RandomKey key, bool draws, int64_t first,
                                                   int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const float sigma = strength * (fmaxf(raw[i], 0.0f) + log1pf(expf(-fabsf(raw[i]))));
  deviation[i] = sigma;
  noisy[i] = clean[i] + (draws ? sigma * key.normal(static_cast<uint64_t>(first + i)) : 0.0f);
}

static __global__ void noisy_logits_backward_kernel(float* d_raw, const float* d_noisy, const float* d_deviation,
                                                    const float* raw, float strength, RandomKey key, bool draws,
                                                    int64_t first, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const float d = d_deviation[i] + (draws ? d_noisy[i] * key.normal(static_cast<uint64_t>(first + i)) : 0.0f);
  d_raw[i] = strength * d / (1.0f + expf(-raw[i]));
}

static __global__ void drop_second_kernel(int32_t* indices, float* weights, RandomKey key, int64_t first_token,
                                          int64_t tokens) {
  const int64_t t = thread_in_grid();
  if (t >= tokens || key.uniform(static_cast<uint64_t>(first_token + t)) < 2.0f * weights[2 * t + 1]) return;
  indices[2 * t + 1] = -1;
  weights[2 * t + 1] = 0;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void jitter(Context& ctx, Tensor x, double amplitude, const RandomKey& key, int64_t first_token) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, jitter_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, x.as<T>(), static_cast<float>(amplitude),
           key, first_token * x.dim(1), x.size());
  });
}

void drop_experts(Context& ctx, Tensor logits, double rate, int64_t keep, const RandomKey& key, int64_t first_token,
                  int64_t tokens_per_draw) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  const int64_t warps = std::clamp<int64_t>((int64_t{32} << 10) / (4 * experts), 1, kThreads / kWarp);
  launch(ctx, drop_experts_kernel, blocks_for(tokens, warps), static_cast<int>(warps) * kWarp,
         static_cast<size_t>(warps * experts) * sizeof(uint32_t), logits.as<float>(),
         static_cast<uint32_t>(rate * 4294967296.0), keep, key, first_token, tokens_per_draw, tokens, experts);
}

void noisy_logits_forward(Context& ctx, Tensor noisy, Tensor deviation, ConstTensor clean, ConstTensor raw,
                          double strength, const RandomKey* key, int64_t first_token) {
  launch(ctx, noisy_logits_forward_kernel, blocks_for(clean.size(), kThreads), kThreads, 0, noisy.as<float>(),
         deviation.as<float>(), clean.as<float>(), raw.as<float>(), static_cast<float>(strength),
         key ? *key : RandomKey{}, key != nullptr, first_token * clean.dim(1), clean.size());
}

void noisy_logits_backward(Context& ctx, Tensor d_raw, ConstTensor d_noisy, ConstTensor d_deviation, ConstTensor raw,
                           double strength, const RandomKey* key, int64_t first_token) {
  launch(ctx, noisy_logits_backward_kernel, blocks_for(raw.size(), kThreads), kThreads, 0, d_raw.as<float>(),
         d_noisy.as<float>(), d_deviation.as<float>(), raw.as<float>(), static_cast<float>(strength),
         key ? *key : RandomKey{}, key != nullptr, first_token * raw.dim(1), raw.size());
}

void drop_second(Context& ctx, Tensor indices, Tensor weights, const RandomKey& key, int64_t first_token) {
  const int64_t tokens = indices.dim(0);
  launch(ctx, drop_second_kernel, blocks_for(tokens, kThreads), kThreads, 0, indices.as<int32_t>(), weights.as<float>(),
         key, first_token, tokens);
}

}  // namespace moe::cuda
