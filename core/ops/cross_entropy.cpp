#include "core/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"
#include "core/ops/vector_math.h"

namespace moe {

void cross_entropy(Context& ctx, Tensor losses, Tensor correct, Tensor logits, ConstTensor targets,
                   double gradient_scale) {
  const int64_t tokens = logits.dim(0), vocab = logits.dim(1);
  MOE_CHECK_SHAPE(losses, {tokens});
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_DTYPE(targets, DType::i32);
  if (correct) MOE_CHECK_SHAPE(correct, {tokens});
  if (on_cuda(ctx)) return cuda::cross_entropy(ctx, losses, correct, logits, targets, gradient_scale);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T *z = logits.as<T>(), *loss = losses.as<T>();
    const int32_t* target = targets.as<int32_t>();
    int32_t* hit = correct ? correct.as<int32_t>() : nullptr;
    const T factor = static_cast<T>(gradient_scale);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T* row = z + t * vocab;
      if (target[t] == kIgnoreTarget) {
        loss[t] = 0;
        if (hit) hit[t] = 0;
        if (factor != 0) std::fill_n(row, vocab, T(0));
        continue;
      }
      T largest = row[0];
#pragma omp simd reduction(max : largest)
      for (int64_t i = 0; i < vocab; ++i) largest = std::max(largest, row[i]);
      const T wanted = row[target[t]];
      if (hit) hit[t] = wanted == largest && std::find(row, row + target[t], largest) == row + target[t];
      T sum = 0;
      if (factor == 0) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < vocab; ++i) sum += cpu::fast_exp(row[i] - largest);
      } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < vocab; ++i) {
          row[i] = cpu::fast_exp(row[i] - largest);
          sum += row[i];
        }
        const T inverse = factor / sum;
#pragma omp simd
        for (int64_t i = 0; i < vocab; ++i) row[i] *= inverse;
        row[target[t]] -= factor;
      }
      loss[t] = std::log(sum) + largest - wanted;
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
