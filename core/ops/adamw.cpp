#include "core/ops/adamw.h"

#include <cmath>
#include <type_traits>

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
    T *w = weight.as<T>(), *m = first_moment.as<T>(), *v = second_moment.as<T>(), *g = gradient.as<T>();
    const double updates = static_cast<double>(step.update);
    const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
    const T rate = static_cast<T>(step.learning_rate / (1 - std::pow(step.beta1, updates)));
    const T correction2 = static_cast<T>(1 / (1 - std::pow(step.beta2, updates)));
    const T eps = static_cast<T>(step.eps), keep = static_cast<T>(1 - step.learning_rate * step.weight_decay);
    const T clip = static_cast<T>(step.gradient_scale);
    const auto update = [&](auto clear) {
#pragma omp parallel for simd schedule(static)
      for (int64_t i = 0; i < n; ++i) {
        const T grad = g[i] * clip;
        m[i] = beta1 * m[i] + (T(1) - beta1) * grad;
        v[i] = beta2 * v[i] + (T(1) - beta2) * grad * grad;
        w[i] = keep * w[i] - rate * m[i] / (std::sqrt(v[i] * correction2) + eps);
        if (clear()) g[i] = 0;
      }
    };
    step.clear_gradient ? update(std::true_type()) : update(std::false_type());
  });
}

}  // namespace moe
