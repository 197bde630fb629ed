#include "core/ops/sgd.h"

#include "core/ops/dispatch.h"

namespace moe {

void sgd(Context& ctx, Tensor weight, Tensor sum, Tensor gradient, const SgdStep& step, Tensor master) {
  const int64_t n = weight.size();
  MOE_CHECK(gradient.size() == n && (!sum || sum.size() == n), "a gradient or a sum of other than {} elements", n);
  MOE_CHECK(sum || (step.momentum == 0 && !step.nesterov), "momentum {} without a sum", step.momentum);
  MOE_CHECK(master ? master.size() == n && weight.dtype == DType::bf16 : weight.dtype != DType::bf16,
            "{} weights {} a master", name_of(weight.dtype), master ? "with" : "without");
  if (on_cuda(ctx)) return cuda::sgd(ctx, weight, sum, gradient, step, master);
  run(ctx, weight.dtype, [&]<class T>(T) {
    T *w = weight.as<T>(), *v = sum ? sum.as<T>() : nullptr, *g = gradient.as<T>();
    const T rate = static_cast<T>(step.learning_rate), momentum = static_cast<T>(step.momentum);
    const T keep = static_cast<T>(1 - step.learning_rate * step.weight_decay);
    const T scale = static_cast<T>(step.gradient_scale);
    const bool nesterov = step.nesterov, clear = step.clear_gradient;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) {
      const T grad = g[i] * scale;
      T move = grad;
      if (v) {
        v[i] = momentum * v[i] + grad;
        move = nesterov ? grad + momentum * v[i] : v[i];
      }
      w[i] = keep * w[i] - rate * move;
      if (clear) g[i] = 0;
    }
  });
}

}  // namespace moe
