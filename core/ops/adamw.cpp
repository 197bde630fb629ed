#include "core/ops/adamw.h"

#include <cmath>

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

void adamw(Context& ctx, Tensor weight, Tensor first_moment, Tensor second_moment, Tensor gradient,
           const AdamWStep& step, Tensor master) {
  const int64_t n = weight.size();
  MOE_CHECK(first_moment.size() == n && second_moment.size() == n && gradient.size() == n, "moments of {} elements", n);
  MOE_CHECK(master ? master.size() == n && weight.dtype == DType::bf16 : weight.dtype != DType::bf16,
            "{} weights {} a master", name_of(weight.dtype), master ? "with" : "without");
  if (on_cuda(ctx)) return cuda::adamw(ctx, weight, first_moment, second_moment, gradient, step, master);
  run(ctx, weight.dtype, [&]<class T>(T) {
    const double updates = static_cast<double>(step.update);
    cpu::cpu_kernels<T>().adamw(weight.as<T>(), first_moment.as<T>(), second_moment.as<T>(), gradient.as<T>(), n,
                                {.beta1 = static_cast<T>(step.beta1),
                                 .beta2 = static_cast<T>(step.beta2),
                                 .rate = static_cast<T>(step.learning_rate / (1 - std::pow(step.beta1, updates))),
                                 .correction2 = static_cast<T>(1 / (1 - std::pow(step.beta2, updates))),
                                 .eps = static_cast<T>(step.eps),
                                 .keep = static_cast<T>(1 - step.learning_rate * step.weight_decay),
                                 .clip = static_cast<T>(step.gradient_scale),
                                 .clear = step.clear_gradient});
  });
}

}  // namespace moe
