#include "core/ops/info_nce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/token.h"
#include "core/ops/dispatch.h"
#include "core/ops/kernels/vector_math.h"

namespace moe {

void diagonal_cross_entropy(Context& ctx, Tensor losses, Tensor a, double temperature, double factor,
                            ConstTensor targets) {
  const int64_t n = a.dim(0);
  MOE_CHECK_SHAPE(a, {n, n});
  MOE_CHECK_SHAPE(losses, {n});
  MOE_CHECK_SHAPE(targets, {n});
  if (on_cuda(ctx)) return cuda::diagonal_cross_entropy(ctx, losses, a, temperature, factor, targets);
  run(ctx, a.dtype, [&]<class T>(T) {
    T *products = a.as<T>(), *loss = losses.as<T>();
    const int32_t* target = targets.as<int32_t>();
    const T inverse = static_cast<T>(1 / temperature), scale = static_cast<T>(factor / temperature);
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
        loss[m] = 0;
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
      loss[m] = largest + std::log(sum) - own;
      if (factor == 0) continue;
      const T weight = scale / sum;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) row[i] *= weight;
      row[m] -= scale;
    }
  });
}

}  // namespace moe
