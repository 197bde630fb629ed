// Softmax cross-entropy (core/ops/cross_entropy.h).
#include <algorithm>
#include <cmath>

#include "core/base/token.h"
#include "core/ops/kernels/row_kernels.h"
#include "core/ops/kernels/vector_math.h"

namespace moe::cpu::inline MOE_LEVEL {

// The sums that a pass over one row of logits computes.
template <class T>
struct RowSums {
  T sum = 0;      // of e^(z - largest)
  T squares = 0;  // of the squares of e^(z - largest)
  T moment = 0;   // of e^(z - largest) (z - largest)
};

// With `kOverwrite` the logits are overwritten by the exponentials. The statistics use a separate loop, so that the
// loop without them stays short.
template <bool kStatistics, bool kOverwrite, class T>
static RowSums<T> pass_over(T* row, int64_t vocab, T largest) {
  T sum = 0, squares = 0, moment = 0;
  if constexpr (!kStatistics) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < vocab; ++i) {
      const T e = fast_exp(row[i] - largest);
      if constexpr (kOverwrite) row[i] = e;
      sum += e;
    }
  } else {
#pragma omp simd reduction(+ : sum, squares, moment)
    for (int64_t i = 0; i < vocab; ++i) {
      const T below = row[i] - largest, e = fast_exp(below);
      if constexpr (kOverwrite) row[i] = e;
      sum += e;
      squares += e * e;
      moment += e * std::max(below, T(-1000));  // e is 0 below -1000, and 0 times infinity would be NaN
    }
  }
  return {sum, squares, moment};
}

// By hand: the standard library's function would be shared with the rest of the program.
template <class T>
static bool any_equals(const T* values, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) {
    if (values[i] == value) return true;
  }
  return false;
}

template <class T>
void cross_entropy(const CrossEntropyRows<T>& x) {
  const bool overwrite = x.gradient_scale != 0;
  const auto pass = x.entropy ? (overwrite ? pass_over<true, true, T> : pass_over<true, false, T>)
                              : (overwrite ? pass_over<false, true, T> : pass_over<false, false, T>);
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < x.tokens; ++t) {
    T* row = x.logits + t * x.vocab;
    if (x.targets[t] == kIgnoreTarget) {
      x.losses[t] = 0;
      if (x.correct) x.correct[t] = 0;
      if (x.entropy) x.entropy[t] = x.residual[t] = 0;
      if (overwrite) std::fill_n(row, x.vocab, T(0));
      continue;
    }
    T largest = row[0];
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < x.vocab; ++i) largest = std::max(largest, row[i]);
    const T wanted = row[x.targets[t]];
    if (x.correct) x.correct[t] = wanted == largest && !any_equals(row, x.targets[t], largest);
    const RowSums<T> sums = pass(row, x.vocab, largest);
    x.losses[t] = std::log(sums.sum) + largest - wanted;
    if (overwrite) {
      const T factor = static_cast<T>(x.gradient_scale) * (x.weights ? x.weights[t] : T(1)),
              inverse = factor / sums.sum;
      const T spread = factor * static_cast<T>(x.smoothing) / static_cast<T>(x.vocab);
#pragma omp simd
      for (int64_t i = 0; i < x.vocab; ++i) row[i] = row[i] * inverse - spread;
      row[x.targets[t]] -= factor * static_cast<T>(1 - x.smoothing);
    }
    if (!x.entropy) continue;
    x.entropy[t] = std::log(sums.sum) - sums.moment / sums.sum;
    const T p = std::exp(-x.losses[t]);
    x.residual[t] = std::sqrt(std::max(sums.squares / (sums.sum * sums.sum) - 2 * p + 1, T(0)));
  }
}

template void cross_entropy(const CrossEntropyRows<float>&);
template void cross_entropy(const CrossEntropyRows<double>&);

}  // namespace moe::cpu::inline MOE_LEVEL
