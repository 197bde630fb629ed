#include "core/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"
#include "core/ops/vector_math.h"

namespace moe {

namespace {

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
inline RowSums<T> pass_over(T* row, int64_t vocab, T largest) {
  T sum = 0, squares = 0, moment = 0;
  if constexpr (!kStatistics) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < vocab; ++i) {
      const T e = cpu::fast_exp(row[i] - largest);
      if constexpr (kOverwrite) row[i] = e;
      sum += e;
    }
  } else {
#pragma omp simd reduction(+ : sum, squares, moment)
    for (int64_t i = 0; i < vocab; ++i) {
      const T below = row[i] - largest, e = cpu::fast_exp(below);
      if constexpr (kOverwrite) row[i] = e;
      sum += e;
      squares += e * e;
      moment += e * std::max(below, T(-1000));  // e is 0 below -1000, and 0 times infinity would be NaN
    }
  }
  return {sum, squares, moment};
}

}  // namespace

void cross_entropy(Context& ctx, Tensor losses, Tensor correct, Tensor logits, ConstTensor targets,
                   double gradient_scale, const CrossEntropyExtras& extras) {
  const int64_t tokens = logits.dim(0), vocab = logits.dim(1);
  MOE_CHECK_SHAPE(losses, {tokens});
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_DTYPE(targets, DType::i32);
  if (correct) MOE_CHECK_SHAPE(correct, {tokens});
  MOE_CHECK(!extras.entropy == !extras.residual, "entropy and residual must be given together");
  for (const ConstTensor& extra : {extras.weights, ConstTensor(extras.entropy), ConstTensor(extras.residual)}) {
    if (!extra) continue;
    MOE_CHECK_SHAPE(extra, {tokens});
    MOE_CHECK_DTYPE(extra, losses.dtype);
  }
  if (on_cuda(ctx)) return cuda::cross_entropy(ctx, losses, correct, logits, targets, gradient_scale, extras);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T *z = logits.as<T>(), *loss = losses.as<T>();
    const int32_t* target = targets.as<int32_t>();
    int32_t* hit = correct ? correct.as<int32_t>() : nullptr;
    const T* weight = extras.weights ? extras.weights.as<T>() : nullptr;
    T *entropy = extras.entropy ? extras.entropy.as<T>() : nullptr,
      *residual = entropy ? extras.residual.as<T>() : nullptr;
    const bool overwrite = gradient_scale != 0;
    const auto pass = entropy ? (overwrite ? pass_over<true, true, T> : pass_over<true, false, T>)
                              : (overwrite ? pass_over<false, true, T> : pass_over<false, false, T>);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T* row = z + t * vocab;
      if (target[t] == kIgnoreTarget) {
        loss[t] = 0;
        if (hit) hit[t] = 0;
        if (entropy) entropy[t] = residual[t] = 0;
        if (overwrite) std::fill_n(row, vocab, T(0));
        continue;
      }
      T largest = row[0];
#pragma omp simd reduction(max : largest)
      for (int64_t i = 0; i < vocab; ++i) largest = std::max(largest, row[i]);
      const T wanted = row[target[t]];
      if (hit) hit[t] = wanted == largest && std::find(row, row + target[t], largest) == row + target[t];
      const RowSums<T> sums = pass(row, vocab, largest);
      loss[t] = std::log(sums.sum) + largest - wanted;
      if (overwrite) {
        const T factor = static_cast<T>(gradient_scale) * (weight ? weight[t] : T(1)), inverse = factor / sums.sum;
        const T spread = factor * static_cast<T>(extras.smoothing) / static_cast<T>(vocab);
#pragma omp simd
        for (int64_t i = 0; i < vocab; ++i) row[i] = row[i] * inverse - spread;
        row[target[t]] -= factor * static_cast<T>(1 - extras.smoothing);
      }
      if (!entropy) continue;
      entropy[t] = std::log(sums.sum) - sums.moment / sums.sum;
      const T p = std::exp(-loss[t]);
      residual[t] = std::sqrt(std::max(sums.squares / (sums.sum * sums.sum) - 2 * p + 1, T(0)));
    }
  });
}

LossSums loss_sums(Context& ctx, ConstTensor losses, ConstTensor correct, ConstTensor targets) {
  const int64_t tokens = losses.size();
  MOE_CHECK_SHAPE(correct, {tokens});
  MOE_CHECK_SHAPE(targets, {tokens});
  if (on_cuda(ctx)) return cuda::loss_sums(ctx, losses, correct, targets);
  LossSums sums;
  run(ctx, losses.dtype, [&]<class T>(T) {
    const T* loss = losses.as<T>();
    const int32_t *hit = correct.as<int32_t>(), *target = targets.as<int32_t>();
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      sums.loss += static_cast<double>(loss[t]);
      sums.tokens += 1;
      sums.correct += hit[t];
    }
  });
  return sums;
}

}  // namespace moe
