#include "core/ops/qk_norm.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

static QkNormSpans check(ConstTensor x, ConstTensor inverse_rms, ConstTensor q_weight, ConstTensor k_weight,
                         const AttentionLayout& layout) {
  const int64_t tokens = x.dim(0);
  const QkNormSpans spans = QkNormSpans::of(layout, q_weight.size());
  MOE_CHECK_SHAPE(x, {tokens, layout.width()});
  MOE_CHECK_SHAPE(inverse_rms, {tokens, spans.count()});
  MOE_CHECK_SHAPE(q_weight, {spans.query_width});
  MOE_CHECK_SHAPE(k_weight, {spans.key_width});
  return spans;
}

void qk_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor q_weight,
                     ConstTensor k_weight, const AttentionLayout& layout, double eps) {
  const QkNormSpans spans = check(x, inverse_rms, q_weight, k_weight, layout);
  const int64_t tokens = x.dim(0), width = layout.width(), values = layout.value_column();
  MOE_CHECK_SHAPE(y, {tokens, width});
  if (on_cuda(ctx)) return cuda::qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *wq = q_weight.as<T>(), *wk = k_weight.as<T>();
    T *out = y.as<T>(), *scales = inverse_rms.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t span = 0; span < spans.count(); ++span) {
        const int64_t d = spans.width(span);
        const T* row = in + t * width + spans.begin(span);
        T* to = out + t * width + spans.begin(span);
        const T* weight = spans.is_query(span) ? wq : wk;
        T squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < d; ++i) squares += row[i] * row[i];
        const T factor = T(1) / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(eps));
        scales[t * spans.count() + span] = factor;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) to[i] = row[i] * factor * weight[i];
      }
      std::copy(in + t * width + values, in + (t + 1) * width, out + t * width + values);
    }
  });
}

// The weights' gradients. Each column is summed by one thread, in order. The heads' weights, which are shared by heads
// too, have a loop of their own: it keeps the results of earlier versions to the last bit.
template <class T>
static void add_weight_gradients(T* d_wq, T* d_wk, const T* grad, const T* in, const T* scales,
                                 const QkNormSpans& spans, const AttentionLayout& layout, int64_t tokens) {
  const int64_t width = layout.width(), d = layout.d_head, normed = layout.heads + layout.kv_heads;
  if (spans.count() == normed) {
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
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < spans.query_width + spans.key_width; ++i) {  // columns of the row and of both weights
    const bool is_query = i < spans.query_width;
    T sum = 0;
    for (int64_t t = 0; t < tokens; ++t)
      sum += grad[t * width + i] * in[t * width + i] * scales[2 * t + (is_query ? 0 : 1)];
    (is_query ? d_wq[i] : d_wk[i - spans.query_width]) += sum;
  }
}

void qk_norm_backward(Context& ctx, Tensor d_qkv, Tensor d_q_weight, Tensor d_k_weight, ConstTensor x,
                      ConstTensor q_weight, ConstTensor k_weight, ConstTensor inverse_rms,
                      const AttentionLayout& layout) {
  const QkNormSpans spans = check(x, inverse_rms, q_weight, k_weight, layout);
  const int64_t tokens = x.dim(0), width = layout.width();
  MOE_CHECK_SHAPE(d_qkv, {tokens, width});
  MOE_CHECK_SHAPE(d_q_weight, {spans.query_width});
  MOE_CHECK_SHAPE(d_k_weight, {spans.key_width});
  if (on_cuda(ctx))
    return cuda::qk_norm_backward(ctx, d_qkv, d_q_weight, d_k_weight, x, q_weight, k_weight, inverse_rms, layout);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *wq = q_weight.as<T>(), *wk = k_weight.as<T>(), *scales = inverse_rms.as<T>();
    T* const grad = d_qkv.as<T>();
    add_weight_gradients(d_q_weight.as<T>(), d_k_weight.as<T>(), grad, in, scales, spans, layout, tokens);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t span = 0; span < spans.count(); ++span) {
        const int64_t d = spans.width(span);
        const T* row = in + t * width + spans.begin(span);
        T* g = grad + t * width + spans.begin(span);
        const T* weight = spans.is_query(span) ? wq : wk;
        const T factor = scales[t * spans.count() + span];
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
