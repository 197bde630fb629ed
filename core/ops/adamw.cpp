#include "core/ops/adamw.h"

#include <cmath>
#include <type_traits>

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

void adamw(Context& ctx, Tensor weight, Tensor first_moment, Tensor second_moment, Tensor gradient,
           const AdamWStep& step, Tensor master) {
  const int64_t n = weight.size();
  MOE_CHECK(first_moment.size() == n && second_moment.size() == n && gradient.size() == n, "moments of {} elements", n);
  MOE_CHECK(master ? master.size() == n && weight.dtype == DType::bf16 : weight.dtype != DType::bf16,
            "{} weights {} a master", name_of(weight.dtype), master ? "with" : "without");
  const bool narrow = first_moment.dtype == DType::bf16;
  MOE_CHECK(narrow ? weight.dtype != DType::f64 : first_moment.dtype == wide(weight.dtype), "{} weights, {} moment",
            name_of(weight.dtype), name_of(first_moment.dtype));
  if (on_cuda(ctx)) return cuda::adamw(ctx, weight, first_moment, second_moment, gradient, step, master);
  run(ctx, weight.dtype, [&]<class T>(T) {
    const double updates = static_cast<double>(step.update);
    const cpu::AdamWFactors<T> factors{.beta1 = static_cast<T>(step.beta1),
                                       .beta2 = static_cast<T>(step.beta2),
                                       .rate = static_cast<T>(step.learning_rate / (1 - std::pow(step.beta1, updates))),
                                       .correction2 = static_cast<T>(1 / (1 - std::pow(step.beta2, updates))),
                                       .eps = static_cast<T>(step.eps),
                                       .keep = static_cast<T>(1 - step.learning_rate * step.weight_decay),
                                       .clip = static_cast<T>(step.gradient_scale),
                                       .clear = step.clear_gradient};
    const auto update = [&](auto kernel, auto* moment) {
      kernel(weight.as<T>(), moment, second_moment.as<T>(), gradient.as<T>(), n, factors);
    };
    if constexpr (std::is_same_v<T, float>) {
      if (narrow) return update(cpu::kernel_table().adamw_bf16_moment, first_moment.as<BFloat16>());
    }
    update(cpu::cpu_kernels<T>().adamw, first_moment.as<T>());
  });
}

}  // namespace moe
