#include "core/ops/cross_entropy.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

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
    cpu::cpu_kernels<T>().cross_entropy({.logits = logits.as<T>(),
                                         .targets = targets.as<int32_t>(),
                                         .losses = losses.as<T>(),
                                         .correct = correct ? correct.as<int32_t>() : nullptr,
                                         .weights = extras.weights ? extras.weights.as<T>() : nullptr,
                                         .entropy = extras.entropy ? extras.entropy.as<T>() : nullptr,
                                         .residual = extras.entropy ? extras.residual.as<T>() : nullptr,
                                         .tokens = tokens,
                                         .vocab = vocab,
                                         .gradient_scale = gradient_scale,
                                         .smoothing = extras.smoothing});
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
