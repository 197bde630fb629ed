#include "core/ops/normalise_rows.h"

#include <cmath>

#include "core/ops/dispatch.h"
#include "core/ops/grouped_rows.h"

namespace moe {

// 1 / (norm + offset), or 0 if that divisor is 0.
template <class T>
static T inverse_of(T norm, double offset) {
  const T divisor = norm + static_cast<T>(offset);
  return divisor > 0 ? T(1) / divisor : T(0);
}

void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x, double offset, ConstTensor groups) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(norms, {rows});
  MOE_CHECK(offset >= 0, "the offset must not be negative, but is {}", offset);
  if (on_cuda(ctx)) return cuda::normalise_rows_forward(ctx, y, norms, x, offset, groups);
  run(ctx, x.dtype, [&]<class T>(T) {
    T *out = y.as<T>(), *norm = norms.as<T>();
    const T* in = x.as<T>();
    const int64_t count = rows_in_groups(rows, groups);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; ++r) {
      T squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) squares += in[i] * in[i];
      norm[r] = std::sqrt(squares);
      const T inverse = inverse_of(norm[r], offset);
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] = in[i] * inverse;
    }
  });
}

void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x, ConstTensor norms, double offset,
                             ConstTensor groups) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(norms, {rows});
  if (on_cuda(ctx)) return cuda::normalise_rows_backward(ctx, d_x, d_y, x, norms, offset, groups);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T *in = x.as<T>(), *g = d_y.as<T>(), *norm = norms.as<T>();
    const int64_t count = rows_in_groups(rows, groups);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; ++r) {
      T dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) dot += in[i] * g[i];
      const T inverse = inverse_of(norm[r], offset);
      const T back = norm[r] > 0 ? dot * inverse * inverse / norm[r] : T(0);
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] += g[i] * inverse - in[i] * back;
    }
  });
}

}  // namespace moe
