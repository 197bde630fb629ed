// AdamW (core/ops/adamw.h) in one pass over memory.
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/ops/kernels/row_kernels.h"
#include "core/tensor/bfloat16.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
static T widened(T x) {
  return x;
}
static float widened(BFloat16 x) {
  return to_float(x);
}
template <class T>
static void store(T& to, T x) {
  to = x;
}
// to_bfloat16() without a branch, which would keep the loop from using vectors.
static void store(BFloat16& to, float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40u : rounded);
}

// M: T, or bf16.
template <class T, class M, bool kClear>
static void update(T* w, M* m, T* v, T* g, int64_t n, const AdamWFactors<T>& f) {
  const T beta1 = f.beta1, beta2 = f.beta2, rate = f.rate, correction2 = f.correction2;
  const T eps = f.eps, keep = f.keep, clip = f.clip;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    const T grad = g[i] * clip;
    const T mean = beta1 * widened(m[i]) + (T(1) - beta1) * grad;
    store(m[i], mean);
    v[i] = beta2 * v[i] + (T(1) - beta2) * grad * grad;
    w[i] = keep * w[i] - rate * mean / (std::sqrt(v[i] * correction2) + eps);
    if constexpr (kClear) g[i] = 0;
  }
}

template <class T, class M>
void adamw(T* weight, M* first_moment, T* second_moment, T* gradient, int64_t n, const AdamWFactors<T>& factors) {
  (factors.clear ? update<T, M, true> : update<T, M, false>)(weight, first_moment, second_moment, gradient, n, factors);
}

template void adamw(float*, float*, float*, float*, int64_t, const AdamWFactors<float>&);
template void adamw(double*, double*, double*, double*, int64_t, const AdamWFactors<double>&);
template void adamw(float*, BFloat16*, float*, float*, int64_t, const AdamWFactors<float>&);

}  // namespace moe::cpu::inline MOE_LEVEL
