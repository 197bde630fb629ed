// Layer normalisation (core/ops/layer_norm.h).
#include <algorithm>
#include <cmath>

#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void layer_norm_forward(T* y, T* statistics, const T* x, const T* weight, const T* bias, int64_t rows, int64_t d,
                        T eps) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * d;
    T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < d; ++i) sum += row[i];
    const T mean = sum / static_cast<T>(d);
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < d; ++i) squares += (row[i] - mean) * (row[i] - mean);
    const T scale = T(1) / std::sqrt(squares / static_cast<T>(d) + eps);
    statistics[2 * r] = mean, statistics[2 * r + 1] = scale;
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) y[r * d + i] = (row[i] - mean) * scale * weight[i] + bias[i];
  }
}

// With n = (x - mean) * scale: dL/dx = (w dy - mean(w dy) - n mean(n w dy)) * scale.
template <class T>
void layer_norm_backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* statistics, int64_t rows,
                               int64_t d, bool accumulate) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T *row = x + r * d, *grad = d_y + r * d;
    T* out = d_x + r * d;
    const T mean = statistics[2 * r], scale = statistics[2 * r + 1];
    T sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t i = 0; i < d; ++i) {
      sum += weight[i] * grad[i];
      dot += (row[i] - mean) * weight[i] * grad[i];
    }
    const T shared = sum / static_cast<T>(d), slope = dot * scale * scale / static_cast<T>(d);
    if (!accumulate) std::fill_n(out, d, T(0));
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) out[i] += (weight[i] * grad[i] - shared - (row[i] - mean) * slope) * scale;
  }
}

// Each thread sums a range of columns in the order of the rows, so the sum is the same for any number of threads.
template <class T>
void layer_norm_backward_parameters(T* d_weight, T* d_bias, const T* d_y, const T* x, const T* statistics, int64_t rows,
                                    int64_t d) {
  constexpr int64_t kColumns = 64;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < d; begin += kColumns) {
    const int64_t count = std::min(kColumns, d - begin);
    T weights[kColumns] = {}, biases[kColumns] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const T *row = x + r * d + begin, *grad = d_y + r * d + begin;
      const T mean = statistics[2 * r], scale = statistics[2 * r + 1];
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) {
        weights[i] += (row[i] - mean) * scale * grad[i];
        biases[i] += grad[i];
      }
    }
    for (int64_t i = 0; i < count; ++i) d_weight[begin + i] += weights[i], d_bias[begin + i] += biases[i];
  }
}

template void layer_norm_forward(float*, float*, const float*, const float*, const float*, int64_t, int64_t, float);
template void layer_norm_forward(double*, double*, const double*, const double*, const double*, int64_t, int64_t,
                                 double);
template void layer_norm_backward_input(float*, const float*, const float*, const float*, const float*, int64_t,
                                        int64_t, bool);
template void layer_norm_backward_input(double*, const double*, const double*, const double*, const double*, int64_t,
                                        int64_t, bool);
template void layer_norm_backward_parameters(float*, float*, const float*, const float*, const float*, int64_t,
                                             int64_t);
template void layer_norm_backward_parameters(double*, double*, const double*, const double*, const double*, int64_t,
                                             int64_t);

}  // namespace moe::cpu::inline MOE_LEVEL
