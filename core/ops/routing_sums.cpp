#include "core/ops/routing_sums.h"

#include <algorithm>
#include <cmath>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void token_sum(Context& ctx, Tensor sum, ConstTensor targets) {
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::token_sum(ctx, sum, targets);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t* target = targets.as<int32_t>();
    sum.as<double>()[0] +=
        static_cast<double>(targets.size() - std::count(target, target + targets.size(), kIgnoreTarget));
  });
}

void column_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets) {
  const int64_t tokens = x.dim(0), n = x.dim(1);
  MOE_CHECK_SHAPE(sums, {n});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::column_sums(ctx, sums, x, targets);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    const int32_t* target = targets.as<int32_t>();
    double* out = sums.as<double>();
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < n; begin += 8) {  // each thread sums its own columns in the order of the tokens
      const int64_t end = std::min(begin + 8, n);
      for (int64_t t = 0; t < tokens; ++t) {
        if (target[t] == kIgnoreTarget) continue;
        for (int64_t i = begin; i < end; ++i) out[i] += static_cast<double>(in[t * n + i]);
      }
    }
  });
}

void assignment_sums(Context& ctx, Tensor counts, Tensor importance, ConstTensor indices, ConstTensor weights,
                     ConstTensor targets) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  MOE_CHECK_SHAPE(targets, {tokens});
  if (importance) {
    MOE_CHECK_SHAPE(weights, {tokens, k});
    MOE_CHECK(importance.shape == counts.shape, "shapes differ: importance {}, counts {}", importance.shape.to_string(),
              counts.shape.to_string());
  }
  if (on_cuda(ctx)) return cuda::assignment_sums(ctx, counts, importance, indices, weights, targets);
  run(ctx, weights.dtype, [&]<class T>(T) {
    const int32_t *expert = indices.as<int32_t>(), *target = targets.as<int32_t>();
    const T* weight = weights.as<T>();
    double *count = counts.as<double>(), *sum = importance ? importance.as<double>() : nullptr;
    for (int64_t s = 0; s < tokens * k; ++s) {
      if (expert[s] < 0 || target[s / k] == kIgnoreTarget) continue;
      count[expert[s]] += 1;
      if (sum) sum[expert[s]] += static_cast<double>(weight[s]);
    }
  });
}

void pair_sums(Context& ctx, Tensor pairs, ConstTensor indices, ConstTensor targets) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::pair_sums(ctx, pairs, indices, targets);
  if (ctx.planning) return;
  double* sums = pairs.as<double>();
  for (int64_t t = 0; t < tokens; ++t) {
    if (targets.as<int32_t>()[t] == kIgnoreTarget) continue;
    const int32_t* chosen = indices.as<int32_t>() + t * k;
    for (int64_t i = 1; i < k; ++i) {
      for (int64_t j = 0; j < i; ++j) {
        const int64_t a = std::min(chosen[i], chosen[j]), b = std::max(chosen[i], chosen[j]);
        if (a >= 0 && a != b) sums[b * (b - 1) / 2 + a] += 1;
      }
    }
  }
}

void top1_counts(Context& ctx, Tensor counts, ConstTensor probabilities, ConstTensor targets) {
  const int64_t tokens = probabilities.dim(0), n = probabilities.dim(1);
  MOE_CHECK_SHAPE(counts, {n});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::top1_counts(ctx, counts, probabilities, targets);
  run(ctx, probabilities.dtype, [&]<class T>(T) {
    const T* p = probabilities.as<T>();
    const int32_t* target = targets.as<int32_t>();
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      counts.as<double>()[std::max_element(p + t * n, p + (t + 1) * n) - (p + t * n)] += 1;
    }
  });
}

void weight_sum_backward(Context& ctx, Tensor d_weights, ConstTensor indices, ConstTensor gradient,
                         ConstTensor targets) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  MOE_CHECK_SHAPE(d_weights, {tokens, k});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::weight_sum_backward(ctx, d_weights, indices, gradient, targets);
  run(ctx, d_weights.dtype, [&]<class T>(T) {
    T* out = d_weights.as<T>();
    const int32_t *expert = indices.as<int32_t>(), *target = targets.as<int32_t>();
    const double* g = gradient.as<double>();
    for (int64_t s = 0; s < tokens * k; ++s) {
      if (expert[s] >= 0 && target[s / k] != kIgnoreTarget) out[s] += static_cast<T>(g[expert[s]]);
    }
  });
}

void count_assignments(Context& ctx, Tensor sum, ConstTensor indices, ConstTensor targets) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::count_assignments(ctx, sum, indices, targets);
  run(ctx, DType::f32, [&]<class T>(T) {
    double count = 0;
    const int32_t *expert = indices.as<int32_t>(), *target = targets.as<int32_t>();
    for (int64_t s = 0; s < tokens * k; ++s) count += expert[s] >= 0 && target[s / k] != kIgnoreTarget;
    sum.as<double>()[0] += count;
  });
}

void entropy_sum(Context& ctx, Tensor sum, ConstTensor probabilities, ConstTensor targets) {
  const int64_t tokens = probabilities.dim(0), n = probabilities.dim(1);
  MOE_CHECK_SHAPE(sum, {1});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::entropy_sum(ctx, sum, probabilities, targets);
  run(ctx, probabilities.dtype, [&]<class T>(T) {
    double entropy = 0;
    const T* p = probabilities.as<T>();
    const int32_t* target = targets.as<int32_t>();
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      for (int64_t i = 0; i < n; ++i) {
        const T q = p[t * n + i];
        if (q > 0) entropy -= static_cast<double>(q * std::log(q));
      }
    }
    sum.as<double>()[0] += entropy;
  });
}

void squared_logsumexp_sum(Context& ctx, Tensor sum, ConstTensor logsumexp, ConstTensor targets) {
  MOE_CHECK_SHAPE(sum, {1});
  MOE_CHECK_SHAPE(targets, {logsumexp.size()});
  if (on_cuda(ctx)) return cuda::squared_logsumexp_sum(ctx, sum, logsumexp, targets);
  run(ctx, logsumexp.dtype, [&]<class T>(T) {
    double squares = 0;
    const T* lse = logsumexp.as<T>();
    const int32_t* target = targets.as<int32_t>();
    for (int64_t t = 0; t < logsumexp.size(); ++t) {
      if (target[t] != kIgnoreTarget) squares += static_cast<double>(lse[t]) * static_cast<double>(lse[t]);
    }
    sum.as<double>()[0] += squares;
  });
}

void softmax_sum_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor gradient,
                          ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, n});
  MOE_CHECK_SHAPE(gradient, {n});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::softmax_sum_backward(ctx, d_logits, probabilities, gradient, targets);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* out = d_logits.as<T>();
    const T* p = probabilities.as<T>();
    const double* g = gradient.as<double>();
    const int32_t* target = targets.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      double dot = 0;
      for (int64_t i = 0; i < n; ++i) dot += g[i] * static_cast<double>(p[t * n + i]);
      for (int64_t i = 0; i < n; ++i) out[t * n + i] += p[t * n + i] * static_cast<T>(g[i] - dot);
    }
  });
}

void entropy_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, double factor, ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, n});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::entropy_backward(ctx, d_logits, probabilities, factor, targets);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    const int32_t* target = targets.as<int32_t>();
    const T f = static_cast<T>(factor);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      const T* p = probabilities.as<T>() + t * n;
      T* const out = d_logits.as<T>() + t * n;
      T entropy = 0;
      for (int64_t i = 0; i < n; ++i) entropy -= p[i] > 0 ? p[i] * std::log(p[i]) : T(0);
      for (int64_t i = 0; i < n; ++i) out[i] -= p[i] > 0 ? f * p[i] * (std::log(p[i]) + entropy) : T(0);
    }
  });
}

void squared_logsumexp_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor logsumexp,
                                double factor, ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, n});
  MOE_CHECK_SHAPE(logsumexp, {tokens});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::squared_logsumexp_backward(ctx, d_logits, probabilities, logsumexp, factor, targets);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* out = d_logits.as<T>();
    const T *p = probabilities.as<T>(), *lse = logsumexp.as<T>();
    const int32_t* target = targets.as<int32_t>();
    const T f = static_cast<T>(2 * factor);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      for (int64_t i = 0; i < n; ++i) out[t * n + i] += f * lse[t] * p[t * n + i];
    }
  });
}

}  // namespace moe
