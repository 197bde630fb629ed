#include "core/ops/rms_norm.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

template <class T>
static void forward(T* y, T* inverse_rms, const T* x, const T* weight, int64_t rows, int64_t d, T eps) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * d;
    T squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < d; ++i) squares += row[i] * row[i];
    const T scale = T(1) / std::sqrt(squares / static_cast<T>(d) + eps);
    inverse_rms[r] = scale;
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) y[r * d + i] = row[i] * scale * weight[i];
  }
}

// With n = x / rms: dL/dx = (w dy - n mean(n w dy)) / rms.
template <class T>
static void backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* inverse_rms, int64_t rows,
                           int64_t d, bool accumulate) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * d;
    const T* grad = d_y + r * d;
    T* out = d_x + r * d;
    const T scale = inverse_rms[r];
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < d; ++i) dot += row[i] * weight[i] * grad[i];
    const T shared = dot * scale * scale * scale / static_cast<T>(d);
    if (accumulate) {
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) out[i] += weight[i] * grad[i] * scale - row[i] * shared;
    } else {
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) out[i] = weight[i] * grad[i] * scale - row[i] * shared;
    }
  }
}

// Each thread sums a range of columns in the order of the rows, so the sum is the same for any number of threads.
template <class T>
static void backward_weight(T* d_weight, const T* d_y, const T* x, const T* inverse_rms, int64_t rows, int64_t d) {
  constexpr int64_t kColumns = 64;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < d; begin += kColumns) {
    const int64_t count = std::min(kColumns, d - begin);
    T sum[kColumns] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const T* row = x + r * d + begin;
      const T* grad = d_y + r * d + begin;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) sum[i] += row[i] * inverse_rms[r] * grad[i];
    }
    for (int64_t i = 0; i < count; ++i) d_weight[begin + i] += sum[i];
  }
}

}  // namespace cpu

void rms_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor weight, double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(inverse_rms, {rows});
  if (on_cuda(ctx)) return cuda::rms_norm_forward(ctx, y, inverse_rms, x, weight, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::forward<T>(y.as<T>(), inverse_rms.as<T>(), x.as<T>(), weight.as<T>(), rows, d, static_cast<T>(eps));
  });
}

void rms_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor weight,
                       ConstTensor inverse_rms, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(d_weight, {d});
  MOE_CHECK_SHAPE(inverse_rms, {rows});
  if (on_cuda(ctx)) return cuda::rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, accumulate);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::backward_weight<T>(d_weight.as<T>(), d_y.as<T>(), x.as<T>(), inverse_rms.as<T>(), rows, d);
    cpu::backward_input<T>(d_x.as<T>(), d_y.as<T>(), x.as<T>(), weight.as<T>(), inverse_rms.as<T>(), rows, d,
                           accumulate);
  });
}

}  // namespace moe
