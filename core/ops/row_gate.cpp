#include "core/ops/row_gate.h"

#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void row_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor x, ConstTensor logits) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(gates, {rows});
  MOE_CHECK_SHAPE(logits, {rows, 1});
  if (on_cuda(ctx)) return cuda::row_gate_forward(ctx, y, gates, x, logits);
  run(ctx, y.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *z = logits.as<T>();
    T *out = y.as<T>(), *gate = gates.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T g = T(1) / (T(1) + std::exp(-z[r]));
      gate[r] = g;
#pragma omp simd
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] += g * in[i];
    }
  });
}

void row_gate_backward(Context& ctx, Tensor d_x, Tensor d_logits, ConstTensor d_y, ConstTensor x, ConstTensor gates) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(d_logits, {rows, 1});
  MOE_CHECK_SHAPE(gates, {rows});
  if (on_cuda(ctx)) return cuda::row_gate_backward(ctx, d_x, d_logits, d_y, x, gates);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *gate = gates.as<T>(), *gradient = d_y.as<T>();
    T *d_in = d_x.as<T>(), *d_z = d_logits.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T g = gate[r];
      T d_gate = 0;
#pragma omp simd reduction(+ : d_gate)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) {
        d_gate += gradient[i] * in[i];
        d_in[i] = g * gradient[i];
      }
      d_z[r] = d_gate * g * (T(1) - g);
    }
  });
}

}  // namespace moe
