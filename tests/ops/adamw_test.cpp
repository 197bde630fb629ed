#include "core/ops/adamw.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("the first step of AdamW moves by the learning rate") {
  TestContext ctx(DType::f64);
  const Tensor w = ctx.of({2}, {1, -2}), m = ctx.zeros({2}), v = ctx.zeros({2}), g = ctx.of({2}, {0.5, -3});
  adamw(ctx, w, m, v, g, {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 0, .weight_decay = 0.5});
  // The bias corrections make m / sqrt(v) the gradient's sign; decay takes 0.1 * 0.5 of the weight.
  check_close("weight", w, {1 - 0.05 - 0.1, -2 + 0.1 + 0.1});
  check_close("first moment", m, {0.05, -0.3});
  check_close("second moment", v, {0.0025, 0.09});
  check_close("gradient", g, {0, 0});
}

TEST_CASE("AdamW equals the reference over several steps") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t n : {0, 1, 31, 32, 33, 257}) {
    const Tensor exact = ctx.wide_normal({n}, 1), m = ctx.wide_zeros({n}), v = ctx.wide_zeros({n});
    const bool rounds = ctx.dtype == DType::bf16;
    const Tensor w = rounds ? ctx.output({n}) : exact, master = rounds ? exact : Tensor{};
    std::vector<double> weight = values(exact), first = values(m), second = values(v);
    for (int64_t update = 1; update <= 5; ++update) {
      const AdamWStep step{.learning_rate = 1e-2,
                           .weight_decay = 0.1,
                           .gradient_scale = 0.25,
                           .update = update,
                           .clear_gradient = update % 2 == 0};
      const Tensor g = ctx.wide_normal({n}, 10 + static_cast<uint32_t>(update));
      for (size_t i = 0; i < weight.size(); ++i) {
        const double gradient = 0.25 * get(g, static_cast<int64_t>(i));
        first[i] = 0.9 * first[i] + 0.1 * gradient;
        second[i] = 0.95 * second[i] + 0.05 * gradient * gradient;
        const double m_hat = first[i] / (1 - std::pow(0.9, update)), v_hat = second[i] / (1 - std::pow(0.95, update));
        weight[i] -= 1e-2 * (m_hat / (std::sqrt(v_hat) + 1e-8) + 0.1 * weight[i]);
      }
      const std::vector<double> before = values(g);
      adamw(ctx, w, m, v, g, step, master);
      check_close("gradient", g, step.clear_gradient ? std::vector<double>(weight.size()) : before, {});
    }
    check_close("weight", exact, weight, {1e-12, ctx.dtype == DType::f64 ? 1e-13 : 1e-5});
    for (int64_t i = 0; i < n && rounds; ++i) {
      CHECK(get(w, i) == static_cast<double>(to_float(to_bfloat16(static_cast<float>(get(exact, i))))));
    }
    check_close("first moment", m, first);
    check_close("second moment", v, second);
  }
}

TEST_CASE("AdamW with a first moment in bf16 equals the reference that rounds it after each step") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  if (ctx.dtype == DType::f64) return;  // refused below
  for (const int64_t n : {0, 1, 31, 32, 33, 257}) {
    const Tensor exact = ctx.wide_normal({n}, 1), m = ctx.constant({n}, 0, DType::bf16), v = ctx.wide_zeros({n});
    const bool rounds = ctx.dtype == DType::bf16;
    const Tensor w = rounds ? ctx.output({n}) : exact, master = rounds ? exact : Tensor{};
    std::vector<double> weight = values(exact);
    std::vector<float> first(weight.size());
    std::vector<double> second(weight.size());
    for (int64_t update = 1; update <= 5; ++update) {
      const Tensor g = ctx.wide_normal({n}, 10 + static_cast<uint32_t>(update));
      for (size_t i = 0; i < weight.size(); ++i) {
        const double gradient = get(g, static_cast<int64_t>(i));
        first[i] = 0.9f * first[i] + (1.0f - 0.9f) * static_cast<float>(gradient);
        second[i] = 0.95 * second[i] + 0.05 * gradient * gradient;
        const double m_hat = static_cast<double>(first[i]) / (1 - std::pow(0.9, update)),
                     v_hat = second[i] / (1 - std::pow(0.95, update));
        weight[i] -= 1e-2 * (m_hat / (std::sqrt(v_hat) + 1e-8) + 0.1 * weight[i]);
        first[i] = to_float(to_bfloat16(first[i]));
      }
      adamw(ctx, w, m, v, g, {.learning_rate = 1e-2, .weight_decay = 0.1, .update = update}, master);
      // A sum that lies half way between two values of bf16 may round to either.
      check_close("first moment", m, {first.begin(), first.end()}, {0x1p-7, 0});
    }
    check_close("weight", exact, weight, {1e-4, 1e-5});
    check_close("second moment", v, second);
  }
  if (!on_cpu()) return;  // a device has no f64
  TestContext exact(DType::f64);
  CHECK_THROWS_AS(
      adamw(exact, exact.zeros({3}), exact.constant({3}, 0, DType::bf16), exact.zeros({3}), exact.zeros({3}), {}),
      InternalError);
}

TEST_CASE("AdamW leaves a weight without gradient to weight decay alone") {
  TestContext ctx;
  const Tensor w = ctx.constant({3}, 2);
  adamw(ctx, w, ctx.zeros({3}), ctx.zeros({3}), ctx.zeros({3}), {.learning_rate = 0.1, .weight_decay = 0.1});
  check_close("weight", w, {1.98, 1.98, 1.98});
  CHECK_THROWS_AS(adamw(ctx, w, ctx.zeros({3}), ctx.zeros({2}), ctx.zeros({3}), {}), InternalError);
}

}  // namespace moe::test
