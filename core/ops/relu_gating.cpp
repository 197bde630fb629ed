#include "core/ops/relu_gating.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void relu_gating_forward(Context& ctx, Tensor indices, Tensor weights, ConstTensor logits) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(indices, {tokens, experts});
  MOE_CHECK_SHAPE(weights, {tokens, experts});
  if (on_cuda(ctx)) return cuda::relu_gating_forward(ctx, indices, weights, logits);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T* w = weights.as<T>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tokens * experts; ++i) {
      const bool chosen = z[i] > 0;  // false for NaN
      index[i] = chosen ? static_cast<int32_t>(i % experts) : -1;
      w[i] = chosen ? z[i] : T(0);
    }
  });
}

void relu_gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor indices,
                          ConstTensor targets, ConstTensor coefficient, ConstTensor factors) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1);
  MOE_CHECK_SHAPE(d_weights, {tokens, experts});
  MOE_CHECK_SHAPE(indices, {tokens, experts});
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_SHAPE(coefficient, {1});
  MOE_CHECK_SHAPE(factors, {experts});
  if (on_cuda(ctx)) return cuda::relu_gating_backward(ctx, d_logits, d_weights, indices, targets, coefficient, factors);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* d_z = d_logits.as<T>();
    const T* d_w = d_weights.as<T>();
    const T l1 = *coefficient.as<T>();
    const double* factor = factors.as<double>();
    const int32_t *index = indices.as<int32_t>(), *target = targets.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tokens * experts; ++i) {
      if (index[i] < 0) continue;
      d_z[i] += d_w[i] + (target[i / experts] == kIgnoreTarget ? T(0) : static_cast<T>(factor[i % experts]) * l1);
    }
  });
}

void scaled_weight_sum(Context& ctx, Tensor sum, ConstTensor weights, ConstTensor targets, ConstTensor coefficient) {
  const int64_t tokens = weights.dim(0), slots = weights.dim(1);
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_SHAPE(coefficient, {1});
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::scaled_weight_sum(ctx, sum, weights, targets, coefficient);
  run(ctx, weights.dtype, [&]<class T>(T) {
    double total = 0;
    const T* w = weights.as<T>();
    const int32_t* target = targets.as<int32_t>();
    for (int64_t i = 0; i < tokens * slots; ++i) {
      if (target[i / slots] != kIgnoreTarget) total += static_cast<double>(w[i]);
    }
    sum.as<double>()[0] += total * static_cast<double>(*coefficient.as<T>());
  });
}

void scale_within(Context& ctx, Tensor x, double factor, double least, double most) {
  if (on_cuda(ctx)) return cuda::scale_within(ctx, x, factor, least, most);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    for (int64_t i = 0; i < x.size(); ++i) {
      p[i] = std::clamp(p[i] * static_cast<T>(factor), static_cast<T>(least), static_cast<T>(most));
    }
  });
}

}  // namespace moe
