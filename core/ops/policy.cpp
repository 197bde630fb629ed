#include "core/ops/policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void gumbel_scores(Context& ctx, Tensor scores, ConstTensor logits, const RandomKey& key, int64_t first_token) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(scores, {tokens, experts});
  if (on_cuda(ctx)) return cuda::gumbel_scores(ctx, scores, logits, key, first_token);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T* s = scores.as<T>();
    const T* z = logits.as<T>();
    const RandomKey& draws = key;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tokens * experts; ++i) {
      s[i] = z[i] + static_cast<T>(draws.gumbel(static_cast<uint64_t>(first_token * experts + i)));
    }
  });
}

// The gradient of -scale * ln p(choice), added to d_z (experts); returns ln p(choice). The order of an expert is the
// draw in which it was chosen, or a large number.
template <class T>
static T add_choice_gradient(T* d_z, const T* z, const int32_t* chosen, int64_t slots, int64_t experts, T scale) {
  const auto order = [&](int64_t e) { return std::find(chosen, chosen + slots, static_cast<int32_t>(e)) - chosen; };
  T log_p = 0;
  for (int64_t draw = 0; draw < slots; ++draw) {
    const int64_t taken = chosen[draw];
    if (taken < 0) continue;
    T most = -std::numeric_limits<T>::infinity(), sum = 0;
    for (int64_t e = 0; e < experts; ++e) {
      if (order(e) >= draw) most = std::max(most, z[e]);
    }
    for (int64_t e = 0; e < experts; ++e) {
      if (order(e) >= draw) sum += std::exp(z[e] - most);
    }
    for (int64_t e = 0; e < experts; ++e) {
      if (order(e) >= draw) d_z[e] += scale * (std::exp(z[e] - most) / sum - (e == taken ? T(1) : T(0)));
    }
    log_p += z[taken] - most - std::log(sum);
  }
  return log_p;
}

void policy_backward(Context& ctx, Tensor d_logits, Tensor d_learned, Tensor terms, const PolicyInput& input,
                     PolicyScales scales) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1), slots = input.indices.dim(1);
  const PredictionLosses& losses = input.losses;
  MOE_CHECK_SHAPE(input.logits, {tokens, experts});
  MOE_CHECK_SHAPE(input.indices, {tokens, slots});
  MOE_CHECK_SHAPE(input.learned, {tokens, 1});
  MOE_CHECK_SHAPE(input.moments, {3});
  MOE_CHECK_SHAPE(input.targets, {tokens});
  MOE_CHECK_SHAPE(losses.losses, {tokens / losses.tokens});
  MOE_CHECK_SHAPE(losses.targets, {tokens / losses.tokens});
  MOE_CHECK_SHAPE(d_learned, {tokens, 1});
  MOE_CHECK_SHAPE(terms, {tokens, kPolicyTerms});
  if (losses.weights) MOE_CHECK_SHAPE(losses.weights, {tokens / losses.tokens_of_weight});
  if (on_cuda(ctx)) return cuda::policy_backward(ctx, d_logits, d_learned, terms, input, scales);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    const T *z = input.logits.as<T>(), *learned = input.learned.as<T>(), *moments = input.moments.as<T>(),
            *loss = losses.losses.as<T>(), *weights = losses.weights ? losses.weights.as<T>() : nullptr;
    const int32_t *chosen = input.indices.as<int32_t>(), *target = input.targets.as<int32_t>(),
                  *predicted = losses.targets.as<int32_t>();
    T *d_z = d_logits.as<T>(), *d_b = d_learned.as<T>(), *out = terms.as<T>();
    const int64_t per_loss = losses.tokens, per_weight = losses.tokens_of_weight;
    const bool has_mean = moments[2] > 0;
    const T mean = has_mean ? moments[0] / moments[2] : T(0), policy = static_cast<T>(scales.policy),
            error = static_cast<T>(scales.error);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T* term = out + t * kPolicyTerms;
      std::fill(term, term + kPolicyTerms, T(0));
      d_b[t] = 0;
      if (target[t] == kIgnoreTarget || predicted[t / per_loss] == kIgnoreTarget) continue;
      const T l = loss[t / per_loss], advantage = has_mean ? mean + learned[t] - l : T(0),
              weighted = weights ? weights[t / per_weight] * advantage : advantage;
      const T log_p = add_choice_gradient(d_z + t * experts, z + t * experts, chosen + t * slots, slots, experts,
                                          policy * weighted);
      d_b[t] = 2 * error * advantage;
      term[kPolicyLoss] = -weighted * log_p;
      term[kBaselineError] = advantage * advantage;
      term[kTokenLoss] = l;
      term[kSquaredTokenLoss] = l * l;
      term[kJudgedToken] = 1;
    }
  });
}

}  // namespace moe
