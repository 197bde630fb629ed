// Gradients of softmax (core/ops/softmax.h).
#include <cmath>

#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void softmax_backward(T* d_z, const T* d_p, const T* p, int64_t rows, int64_t n) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    T mean = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t i = r * n; i < (r + 1) * n; ++i) mean += p[i] * d_p[i];
    for (int64_t i = r * n; i < (r + 1) * n; ++i) d_z[i] += p[i] * (d_p[i] - mean);
  }
}

template <class T>
void log_softmax_backward(T* d_z, const T* d_log_p, const T* z, const T* logsumexp, int64_t rows, int64_t n) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    T sum = 0;
    for (int64_t i = r * n; i < (r + 1) * n; ++i) sum += d_log_p[i];
    for (int64_t i = r * n; i < (r + 1) * n; ++i) d_z[i] += d_log_p[i] - std::exp(z[i] - logsumexp[r]) * sum;
  }
}

template void softmax_backward(float*, const float*, const float*, int64_t, int64_t);
template void softmax_backward(double*, const double*, const double*, int64_t, int64_t);
template void log_softmax_backward(float*, const float*, const float*, const float*, int64_t, int64_t);
template void log_softmax_backward(double*, const double*, const double*, const double*, int64_t, int64_t);

}  // namespace moe::cpu::inline MOE_LEVEL
