#include "core/ops/qk_norm.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void qk_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor q_weight,
                     ConstTensor k_weight, const AttentionLayout& layout, double eps) {
  const int64_t tokens = x.dim(0), width = layout.width(), d = layout.d_head, normed = layout.heads + layout.kv_heads;
  MOE_CHECK_SHAPE(x, {tokens, width});
  MOE_CHECK_SHAPE(y, {tokens, width});
  MOE_CHECK_SHAPE(inverse_rms, {tokens, normed});
  MOE_CHECK_SHAPE(q_weight, {d});
  MOE_CHECK_SHAPE(k_weight, {d});
  if (on_cuda(ctx)) return cuda::qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *wq = q_weight.as<T>(), *wk = k_weight.as<T>();
    T *out = y.as<T>(), *scales = inverse_rms.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t head = 0; head < normed; ++head) {
        const T* row = in + t * width + head * d;
        T* to = out + t * width + head * d;
        const T* weight = head < layout.heads ? wq : wk;
        T squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < d; ++i) squares += row[i] * row[i];
        const T factor = T(1) / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(eps));
        scales[t * normed + head] = factor;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) to[i] = row[i] * factor * weight[i];
      }
      std::copy(in + t * width + normed * d, in + (t + 1) * width, out + t * width + normed * d);
    }
  });
}

void qk_norm_backward(Context& ctx, Tensor d_qkv, Tensor d_q_weight, Tensor d_k_weight, ConstTensor x,
                      ConstTensor q_weight, ConstTensor k_weight, ConstTensor inverse_rms,
                      const AttentionLayout& layout) {
  const int64_t tokens = x.dim(0), width = layout.width(), d = layout.d_head, normed = layout.heads + layout.kv_heads;
  MOE_CHECK_SHAPE(d_qkv, {tokens, width});
  MOE_CHECK_SHAPE(x, {tokens, width});
  MOE_CHECK_SHAPE(inverse_rms, {tokens, normed});
  for (const ConstTensor weight : {q_weight, k_weight, ConstTensor(d_q_weight), ConstTensor(d_k_weight)}) {
    MOE_CHECK_SHAPE(weight, {d});
  }
  if (on_cuda(ctx))
    return cuda::qk_norm_backward(ctx, d_qkv, d_q_weight, d_k_weight, x, q_weight, k_weight, inverse_rms, layout);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *wq = q_weight.as<T>(), *wk = k_weight.as<T>(), *scales = inverse_rms.as<T>();
    T *grad = d_qkv.as<T>(), *d_wq = d_q_weight.as<T>(), *d_wk = d_k_weight.as<T>();
    // The weights are shared by all tokens and heads. Column i is summed by one thread, in order.
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < d; ++i) {
      T sum_q = 0, sum_k = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t head = 0; head < normed; ++head) {
          const int64_t at = t * width + head * d + i;
          (head < layout.heads ? sum_q : sum_k) += grad[at] * in[at] * scales[t * normed + head];
        }
      }
      d_wq[i] += sum_q;
      d_wk[i] += sum_k;
    }
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t head = 0; head < normed; ++head) {
        const T* row = in + t * width + head * d;
        T* g = grad + t * width + head * d;
        const T* weight = head < layout.heads ? wq : wk;
        const T factor = scales[t * normed + head];
        T dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t i = 0; i < d; ++i) dot += row[i] * weight[i] * g[i];
        const T shared = dot * factor * factor * factor / static_cast<T>(d);
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) g[i] = weight[i] * g[i] * factor - row[i] * shared;
      }
    }
  });
}

}  // namespace moe
