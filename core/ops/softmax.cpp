#include "core/ops/softmax.h"

#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_p, ConstTensor p) {
  const int64_t rows = p.dim(0), n = p.dim(1);
  MOE_CHECK_SHAPE(d_z, {rows, n});
  MOE_CHECK_SHAPE(d_p, {rows, n});
  if (on_cuda(ctx)) return cuda::softmax_backward(ctx, d_z, d_p, p);
  run(ctx, p.dtype, [&]<class T>(T) {
    const T *in = p.as<T>(), *d = d_p.as<T>();
    T* out = d_z.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      T mean = 0;
#pragma omp simd reduction(+ : mean)
      for (int64_t i = r * n; i < (r + 1) * n; ++i) mean += in[i] * d[i];
      for (int64_t i = r * n; i < (r + 1) * n; ++i) out[i] += in[i] * (d[i] - mean);
    }
  });
}

void log_softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_log_p, ConstTensor z, ConstTensor logsumexp) {
  const int64_t rows = z.dim(0), n = z.dim(1);
  MOE_CHECK_SHAPE(d_z, {rows, n});
  MOE_CHECK_SHAPE(d_log_p, {rows, n});
  if (on_cuda(ctx)) return cuda::log_softmax_backward(ctx, d_z, d_log_p, z, logsumexp);
  run(ctx, d_z.dtype, [&]<class T>(T) {
    const T *logit = z.as<T>(), *lse = logsumexp.as<T>(), *d = d_log_p.as<T>();
    T* out = d_z.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      T sum = 0;
      for (int64_t i = r * n; i < (r + 1) * n; ++i) sum += d[i];
      for (int64_t i = r * n; i < (r + 1) * n; ++i) out[i] += d[i] - std::exp(logit[i] - lse[r]) * sum;
    }
  });
}

}  // namespace moe
