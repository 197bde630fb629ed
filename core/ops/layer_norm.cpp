#include "core/ops/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

template <class T>
static void forward(T* y, T* statistics, const T* x, const T* weight, const T* bias, int64_t rows, int64_t d, T eps) {
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
static void backward_input(T* d_x, const T* d_y, const T* x, const T* weight, const T* statistics, int64_t rows,
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
static void backward_parameters(T* d_weight, T* d_bias, const T* d_y, const T* x, const T* statistics, int64_t rows,
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

}  // namespace cpu

void layer_norm_forward(Context& ctx, Tensor y, Tensor statistics, ConstTensor x, ConstTensor weight, ConstTensor bias,
                        double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(bias, {d});
  MOE_CHECK_SHAPE(statistics, {rows, 2});
  if (on_cuda(ctx)) return cuda::layer_norm_forward(ctx, y, statistics, x, weight, bias, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::forward<T>(y.as<T>(), statistics.as<T>(), x.as<T>(), weight.as<T>(), bias.as<T>(), rows, d,
                    static_cast<T>(eps));
  });
}

void layer_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x,
                         ConstTensor weight, ConstTensor statistics, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(d_weight, {d});
  MOE_CHECK_SHAPE(d_bias, {d});
  MOE_CHECK_SHAPE(statistics, {rows, 2});
  if (on_cuda(ctx))
    return cuda::layer_norm_backward(ctx, d_x, d_weight, d_bias, d_y, x, weight, statistics, accumulate);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::backward_parameters<T>(d_weight.as<T>(), d_bias.as<T>(), d_y.as<T>(), x.as<T>(), statistics.as<T>(), rows, d);
    cpu::backward_input<T>(d_x.as<T>(), d_y.as<T>(), x.as<T>(), weight.as<T>(), statistics.as<T>(), rows, d,
                           accumulate);
  });
}

}  // namespace moe
