#include "core/ops/policy.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __global__ void gumbel_scores_kernel(float* scores, const float* logits, RandomKey key, int64_t first,
                                            int64_t size) {
  const int64_t i = thread_in_grid();
  if (i < size) scores[i] = logits[i] + key.gumbel(static_cast<uint64_t>(first + i));
}

// The slot of expert e among the chosen ones, or `slots`.
static __device__ int64_t order_of(const int32_t* chosen, int64_t slots, int64_t e) {
  int64_t order = 0;
  while (order < slots && chosen[order] != e) ++order;
  return order;
}

struct PolicyPointers {
  const float *logits, *learned, *moments, *losses, *weights;
  const int32_t *indices, *targets, *predicted;
  int64_t tokens_of_loss, tokens_of_weight;
};

// A warp's part of the CPU's add_choice_gradient(); lane e % 32 owns expert e.
static __device__ float add_choice_gradient(float* d_z, const float* z, const int32_t* chosen, int64_t slots,
                                            int64_t experts, float scale) {
  float log_p = 0;
  for (int64_t draw = 0; draw < slots; ++draw) {
    const int32_t taken = chosen[draw];
    if (taken < 0) continue;
    float most = -INFINITY, sum = 0;
    for (int64_t e = lane_index(); e < experts; e += kWarp) {
      if (order_of(chosen, slots, e) >= draw) most = fmaxf(most, z[e]);
    }
    most = warp_max(most);
    for (int64_t e = lane_index(); e < experts; e += kWarp) {
      if (order_of(chosen, slots, e) >= draw) sum += expf(z[e] - most);
    }
    sum = warp_sum(sum);
    for (int64_t e = lane_index(); e < experts; e += kWarp) {
      if (order_of(chosen, slots, e) >= draw) d_z[e] += scale * (expf(z[e] - most) / sum - (e == taken ? 1.0f : 0.0f));
    }
    log_p += z[taken] - most - logf(sum);
  }
  return log_p;
}

// One warp per token. Lane 0 writes the token's terms.
static __global__ void policy_backward_kernel(float* d_logits, float* d_learned, float* terms, PolicyPointers in,
                                              float policy, float error, int64_t slots, int64_t tokens,
                                              int64_t experts) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const int64_t prediction = t / in.tokens_of_loss;
  const bool judged = in.targets[t] != kIgnoreTarget && in.predicted[prediction] != kIgnoreTarget;
  const bool has_mean = in.moments[2] > 0;
  const float loss = judged ? in.losses[prediction] : 0;
  const float advantage = judged && has_mean ? in.moments[0] / in.moments[2] + in.learned[t] - loss : 0.0f;
  const float weighted = in.weights && judged ? in.weights[t / in.tokens_of_weight] * advantage : advantage;
  float log_p = 0;
  if (judged) {
    log_p = add_choice_gradient(d_logits + t * experts, in.logits + t * experts, in.indices + t * slots, slots, experts,
                                policy * weighted);
  }
  if (lane_index() > 0) return;
  float* term = terms + t * kPolicyTerms;
  d_learned[t] = 2.0f * error * advantage;
  term[kPolicyLoss] = -weighted * log_p;
  term[kBaselineError] = advantage * advantage;
  term[kTokenLoss] = loss;
  term[kSquaredTokenLoss] = loss * loss;
  term[kJudgedToken] = judged ? 1.0f : 0.0f;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void gumbel_scores(Context& ctx, Tensor scores, ConstTensor logits, const RandomKey& key, int64_t first_token) {
  launch(ctx, gumbel_scores_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, scores.as<float>(),
         logits.as<float>(), key, first_token * logits.dim(1), logits.size());
}

void policy_backward(Context& ctx, Tensor d_logits, Tensor d_learned, Tensor terms, const PolicyInput& input,
                     PolicyScales scales) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1);
  const PredictionLosses& losses = input.losses;
  const PolicyPointers in{.logits = input.logits.as<float>(),
                          .learned = input.learned.as<float>(),
                          .moments = input.moments.as<float>(),
                          .losses = losses.losses.as<float>(),
                          .weights = losses.weights ? losses.weights.as<float>() : nullptr,
                          .indices = input.indices.as<int32_t>(),
                          .targets = input.targets.as<int32_t>(),
                          .predicted = losses.targets.as<int32_t>(),
                          .tokens_of_loss = losses.tokens,
                          .tokens_of_weight = losses.tokens_of_weight};
  launch(ctx, policy_backward_kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, d_logits.as<float>(),
         d_learned.as<float>(), terms.as<float>(), in, static_cast<float>(scales.policy),
         static_cast<float>(scales.error), input.indices.dim(1), tokens, experts);
}

}  // namespace moe::cuda
