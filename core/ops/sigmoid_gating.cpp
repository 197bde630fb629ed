#include "core/ops/sigmoid_gating.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

template <class T>
static T exact_sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// Whether fewer than `limit` groups are better than group g.
template <class T>
static bool within_limit(const T* s, int64_t size, int64_t g, GroupLimit limit) {
  const T mine = group_score(s + g * size, size);
  int64_t better = 0;
  for (int64_t other = 0; other < limit.groups; ++other) {
    const T theirs = group_score(s + other * size, size);
    better += theirs > mine || (theirs == mine && other < g);
  }
  return better < limit.limit;
}

}  // namespace cpu

void biased_sigmoid_scores(Context& ctx, Tensor scores, ConstTensor logits, ConstTensor bias, GroupLimit limit) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(scores, {tokens, experts});
  MOE_CHECK_SHAPE(bias, {experts});
  MOE_CHECK(limit.groups >= 1 && experts % limit.groups == 0 && limit.limit >= 1 && limit.limit <= limit.groups,
            "invalid group limit: {} of {} groups of {} experts", limit.limit, limit.groups, experts);
  if (on_cuda(ctx)) return cuda::biased_sigmoid_scores(ctx, scores, logits, bias, limit);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T *z = logits.as<T>(), *b = bias.as<T>();
    T* s = scores.as<T>();
    const int64_t size = experts / limit.groups;
    constexpr T kNone = -std::numeric_limits<T>::infinity();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T* row = s + t * experts;
      for (int64_t e = 0; e < experts; ++e) {
        const T logit = z[t * experts + e];
        row[e] = logit == kNone ? kNone : cpu::exact_sigmoid(logit) + b[e];
      }
      if (limit.limit == limit.groups) continue;
      // Clearing the scores of an excluded group does not change the comparisons of later groups: it lost to `limit`
      // better groups, whose scores stay.
      for (int64_t g = 0; g < limit.groups; ++g) {
        if (!cpu::within_limit(row, size, g, limit)) std::fill_n(row + g * size, size, kNone);
      }
    }
  });
}

void sigmoid_weights_forward(Context& ctx, Tensor weights, ConstTensor logits, ConstTensor indices,
                             SigmoidWeights options) {
  const int64_t tokens = indices.dim(0), slots = indices.dim(1), experts = logits.dim(1);
  MOE_CHECK_SHAPE(weights, {tokens, slots});
  MOE_CHECK_SHAPE(logits, {tokens, experts});
  if (on_cuda(ctx)) return cuda::sigmoid_weights_forward(ctx, weights, logits, indices, options);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T* w = weights.as<T>();
    const int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      for (int64_t i = t * slots; i < (t + 1) * slots; ++i) {
        w[i] = index[i] < 0 ? T(0) : cpu::exact_sigmoid(z[t * experts + index[i]]);
        sum += w[i];
      }
      // If all sigmoids underflow to 0, the weights stay 0.
      const T factor = static_cast<T>(options.scale) / (options.renormalise && sum > 0 ? sum : T(1));
      for (int64_t i = t * slots; i < (t + 1) * slots; ++i) w[i] *= factor;
    }
  });
}

void sigmoid_weights_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor logits,
                              ConstTensor indices, SigmoidWeights options) {
  const int64_t tokens = indices.dim(0), slots = indices.dim(1), experts = logits.dim(1);
  MOE_CHECK_SHAPE(d_weights, {tokens, slots});
  MOE_CHECK_SHAPE(logits, {tokens, experts});
  MOE_CHECK_SHAPE(d_logits, {tokens, experts});
  if (on_cuda(ctx)) return cuda::sigmoid_weights_backward(ctx, d_logits, d_weights, logits, indices, options);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T *z = logits.as<T>(), *d_w = d_weights.as<T>();
    T* d_z = d_logits.as<T>();
    const int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0, dot = 0;
      for (int64_t i = t * slots; i < (t + 1) * slots; ++i) {
        if (index[i] < 0) continue;
        const T s = cpu::exact_sigmoid(z[t * experts + index[i]]);
        sum += s;
        dot += s * d_w[i];
      }
      const bool divide = options.renormalise && sum > 0;
      const T factor = static_cast<T>(options.scale) / (divide ? sum : T(1));
      const T mean = divide ? dot / sum : T(0);
      for (int64_t i = t * slots; i < (t + 1) * slots; ++i) {
        if (index[i] < 0) continue;
        const T s = cpu::exact_sigmoid(z[t * experts + index[i]]);
        d_z[t * experts + index[i]] += factor * (d_w[i] - mean) * s * (T(1) - s);
      }
    }
  });
}

void sigmoid_shares_forward(Context& ctx, Tensor shares, ConstTensor logits) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(shares, {tokens, experts});
  if (on_cuda(ctx)) return cuda::sigmoid_shares_forward(ctx, shares, logits);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T* out = shares.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) sum += out[i] = cpu::exact_sigmoid(z[i]);
      if (sum == 0) continue;
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) out[i] /= sum;
    }
  });
}

// With r_i = s_i / sum_j s_j: dr_i / dz_j = (delta_ij - r_i) r_j (1 - s_j).
void sigmoid_shares_backward(Context& ctx, Tensor d_logits, ConstTensor shares, ConstTensor logits,
                             ConstTensor gradient, ConstTensor targets) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(d_logits, {tokens, experts});
  MOE_CHECK_SHAPE(shares, {tokens, experts});
  MOE_CHECK_SHAPE(gradient, {experts});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::sigmoid_shares_backward(ctx, d_logits, shares, logits, gradient, targets);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T *z = logits.as<T>(), *r = shares.as<T>();
    const double* g = gradient.as<double>();
    const int32_t* target = targets.as<int32_t>();
    T* d_z = d_logits.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      double mean = 0;
      for (int64_t e = 0; e < experts; ++e) mean += g[e] * static_cast<double>(r[t * experts + e]);
      for (int64_t e = 0; e < experts; ++e) {
        const int64_t i = t * experts + e;
        d_z[i] += static_cast<T>(g[e] - mean) * r[i] * (T(1) - cpu::exact_sigmoid(z[i]));
      }
    }
  });
}

void step_bias(Context& ctx, Tensor bias, ConstTensor counts, double rate) {
  const int64_t experts = bias.dim(0);
  MOE_CHECK_SHAPE(counts, {experts});
  if (on_cuda(ctx)) return cuda::step_bias(ctx, bias, counts, rate);
  run(ctx, bias.dtype, [&]<class T>(T) {
    const double* count = counts.as<double>();
    double mean = 0;
    for (int64_t e = 0; e < experts; ++e) mean += count[e] / static_cast<double>(experts);
    for (int64_t e = 0; e < experts; ++e) {
      const double sign = count[e] < mean ? 1 : count[e] > mean ? -1 : 0;
      bias.as<T>()[e] += static_cast<T>(rate * sign);
    }
  });
}

}  // namespace moe
