#include "core/ops/merge_gate.h"

#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void merge_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor a, ConstTensor b, ConstTensor logits,
                        ConstTensor bias) {
  const int64_t tokens = a.dim(0), d = a.dim(1);
  MOE_CHECK_SHAPE(y, {tokens, d});
  MOE_CHECK_SHAPE(b, {tokens, d});
  MOE_CHECK_SHAPE(gates, {tokens});
  MOE_CHECK_SHAPE(logits, {tokens, 1});
  MOE_CHECK_SHAPE(bias, {1});
  if (on_cuda(ctx)) return cuda::merge_gate_forward(ctx, y, gates, a, b, logits, bias);
  run(ctx, y.dtype, [&]<class T>(T) {
    const T *first = a.as<T>(), *second = b.as<T>(), *z = logits.as<T>();
    const T offset = *bias.as<T>();
    T *out = y.as<T>(), *gate = gates.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const T g = T(1) / (T(1) + std::exp(-(z[t] + offset)));
      gate[t] = g;
#pragma omp simd
      for (int64_t i = t * d; i < (t + 1) * d; ++i) out[i] = g * first[i] + (T(1) - g) * second[i];
    }
  });
}

void merge_gate_backward(Context& ctx, Tensor d_a, Tensor d_b, Tensor d_logits, Tensor d_bias, ConstTensor d_y,
                         ConstTensor a, ConstTensor b, ConstTensor gates) {
  const int64_t tokens = a.dim(0), d = a.dim(1);
  MOE_CHECK_SHAPE(d_a, {tokens, d});
  MOE_CHECK_SHAPE(d_b, {tokens, d});
  MOE_CHECK_SHAPE(d_logits, {tokens, 1});
  MOE_CHECK_SHAPE(d_bias, {1});
  if (on_cuda(ctx)) return cuda::merge_gate_backward(ctx, d_a, d_b, d_logits, d_bias, d_y, a, b, gates);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const T *first = a.as<T>(), *second = b.as<T>(), *gate = gates.as<T>(), *gradient = d_y.as<T>();
    T *d_first = d_a.as<T>(), *d_second = d_b.as<T>(), *d_z = d_logits.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const T g = gate[t];
      T d_gate = 0;
#pragma omp simd reduction(+ : d_gate)
      for (int64_t i = t * d; i < (t + 1) * d; ++i) {
        d_gate += gradient[i] * (first[i] - second[i]);
        d_first[i] = g * gradient[i];
        d_second[i] = (T(1) - g) * gradient[i];
      }
      d_z[t] = d_gate * g * (T(1) - g);
    }
    double sum = 0;  // summed in order, so it is the same for any number of threads
    for (int64_t t = 0; t < tokens; ++t) sum += static_cast<double>(d_z[t]);
    *d_bias.as<T>() += static_cast<T>(sum);
  });
}

}  // namespace moe
