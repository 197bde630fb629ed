// Root-mean-square normalisation (core/ops/rms_norm.h).
#include <algorithm>
#include <cmath>

#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void rms_norm_forward(T* y, T* inverse_rms, const T* x, const T* weight, int64_t rows, int64_t d, T eps) {
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
void rms_norm_backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* inverse_rms, int64_t rows,
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
void rms_norm_backward_weight(T* d_weight, const T* d_y, const T* x, const T* inverse_rms, int64_t rows, int64_t d) {
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

template void rms_norm_forward(float*, float*, const float*, const float*, int64_t, int64_t, float);
template void rms_norm_forward(double*, double*, const double*, const double*, int64_t, int64_t, double);
template void rms_norm_backward_input(float*, const float*, const float*, const float*, const float*, int64_t, int64_t,
                                      bool);
template void rms_norm_backward_input(double*, const double*, const double*, const double*, const double*, int64_t,
                                      int64_t, bool);
template void rms_norm_backward_weight(float*, const float*, const float*, const float*, int64_t, int64_t);
template void rms_norm_backward_weight(double*, const double*, const double*, const double*, int64_t, int64_t);

}  // namespace moe::cpu::inline MOE_LEVEL
