// AdamW (core/ops/adamw.h) in one pass over memory.
#include <cmath>
#include <type_traits>

#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T, bool kClear>
static void update(T* w, T* m, T* v, T* g, int64_t n, const AdamWFactors<T>& f) {
  const T beta1 = f.beta1, beta2 = f.beta2, rate = f.rate, correction2 = f.correction2;
  const T eps = f.eps, keep = f.keep, clip = f.clip;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    const T grad = g[i] * clip;
    m[i] = beta1 * m[i] + (T(1) - beta1) * grad;
    v[i] = beta2 * v[i] + (T(1) - beta2) * grad * grad;
    w[i] = keep * w[i] - rate * m[i] / (std::sqrt(v[i] * correction2) + eps);
    if constexpr (kClear) g[i] = 0;
  }
}

template <class T>
void adamw(T* weight, T* first_moment, T* second_moment, T* gradient, int64_t n, const AdamWFactors<T>& factors) {
  (factors.clear ? update<T, true> : update<T, false>)(weight, first_moment, second_moment, gradient, n, factors);
}

template void adamw(float*, float*, float*, float*, int64_t, const AdamWFactors<float>&);
template void adamw(double*, double*, double*, double*, int64_t, const AdamWFactors<double>&);

}  // namespace moe::cpu::inline MOE_LEVEL
