#include "core/ops/info_nce.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/token.h"
#include "core/ops/dispatch.h"
#include "core/ops/vector_math.h"

namespace moe {

void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(norms, {rows});
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    T *out = y.as<T>(), *norm = norms.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      T squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) squares += in[i] * in[i];
      norm[r] = std::sqrt(squares);
      const T scale = norm[r] > 0 ? T(1) / norm[r] : T(0);
#pragma omp simd
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] = in[i] * scale;
    }
  });
}

void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor y, ConstTensor norms) {
  const int64_t rows = y.dim(0), d = y.dim(1);
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(d_y, {rows, d});
  run(ctx, y.dtype, [&]<class T>(T) {
    const T *unit = y.as<T>(), *gradient = d_y.as<T>(), *norm = norms.as<T>();
    T* out = d_x.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T scale = norm[r] > 0 ? T(1) / norm[r] : T(0);
      T along = 0;
#pragma omp simd reduction(+ : along)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) along += unit[i] * gradient[i];
#pragma omp simd
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] = scale * (gradient[i] - along * unit[i]);
    }
  });
}

double diagonal_cross_entropy(Context& ctx, Tensor a, double temperature, double factor, ConstTensor targets) {
  const int64_t n = a.dim(0);
  MOE_CHECK_SHAPE(a, {n, n});
  MOE_CHECK_SHAPE(targets, {n});
  double total = 0;
  run(ctx, a.dtype, [&]<class T>(T) {
    T* products = a.as<T>();
    const int32_t* target = targets.as<int32_t>();
    const T inverse = static_cast<T>(1 / temperature), scale = static_cast<T>(factor / temperature);
    thread_local std::vector<double> row_losses;
    row_losses.assign(static_cast<size_t>(n), 0.0);
    double* const losses = row_losses.data();
#pragma omp parallel for schedule(static)
    for (int64_t m = 0; m < n; ++m) {
      T* row = products + m * n;
      const bool is_anchor = target[m] != kIgnoreTarget;
      T largest = -std::numeric_limits<T>::infinity();
      for (int64_t i = 0; i < n; ++i) {
        row[i] = target[i] == kIgnoreTarget ? -std::numeric_limits<T>::infinity() : row[i] * inverse;
        largest = std::max(largest, row[i]);
      }
      if (!is_anchor) {
        if (factor != 0) std::fill(row, row + n, T(0));
        continue;
      }
      const T own = row[m];
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; ++i) {
        row[i] = cpu::fast_exp(row[i] - largest);
        sum += row[i];
      }
      losses[m] = static_cast<double>(largest + std::log(sum) - own);
      if (factor == 0) continue;
      const T weight = scale / sum;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) row[i] *= weight;
      row[m] -= scale;
    }
    for (int64_t m = 0; m < n; ++m) total += losses[m];
  });
  return total;
}

}  // namespace moe
