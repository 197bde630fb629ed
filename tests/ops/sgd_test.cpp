#include "core/ops/sgd.h"

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("the first step of SGD moves by the gradient, with Nesterov's momentum by more") {
  TestContext ctx(DType::f64);
  const auto step = [&](bool with_sum, const SgdStep& options) {
    const Tensor w = ctx.of({2}, {1, -2}), v = with_sum ? ctx.zeros({2}) : Tensor{}, g = ctx.of({2}, {0.5, -3});
    sgd(ctx, w, v, g, options);
    check_close("gradient", g, {0, 0});
    if (with_sum) check_close("sum", v, {0.5, -3});
    return values(w);
  };
  CHECK(step(false, {.learning_rate = 0.1})[0] == Approx(1 - 0.05));
  CHECK(step(true, {.learning_rate = 0.1, .momentum = 0.9})[1] == Approx(-2 + 0.3));
  CHECK(step(true, {.learning_rate = 0.1, .momentum = 0.9, .nesterov = true})[1] == Approx(-2 + 0.3 * 1.9));
  CHECK(step(false, {.learning_rate = 0.1, .weight_decay = 0.5})[1] == Approx(-2 * 0.95 + 0.3));
}

TEST_CASE("SGD equals the reference over several steps, with and without a sum and a master") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t n : {0, 1, 31, 32, 33, 257}) {
    for (const double momentum : {0.0, 0.8}) {
      for (const bool nesterov : {false, true}) {
        if (nesterov && momentum == 0) continue;
        const Tensor exact = ctx.wide_normal({n}, 1), v = momentum > 0 ? ctx.wide_zeros({n}) : Tensor{};
        const bool rounds = ctx.dtype == DType::bf16;
        const Tensor w = rounds ? ctx.output({n}) : exact, master = rounds ? exact : Tensor{};
        std::vector<double> weight = values(exact), sum(weight.size());
        for (uint32_t update = 1; update <= 5; ++update) {
          const SgdStep step{.learning_rate = 1e-2,
                             .momentum = momentum,
                             .nesterov = nesterov,
                             .weight_decay = 0.1,
                             .gradient_scale = 0.25,
                             .clear_gradient = update % 2 == 0};
          const Tensor g = ctx.wide_normal({n}, 10 + update);
          for (size_t i = 0; i < weight.size(); ++i) {
            const double gradient = 0.25 * get(g, static_cast<int64_t>(i));
            sum[i] = momentum * sum[i] + gradient;
            weight[i] -= 1e-2 * ((nesterov ? gradient + momentum * sum[i] : sum[i]) + 0.1 * weight[i]);
          }
          const std::vector<double> before = values(g);
          sgd(ctx, w, v, g, step, master);
          check_close("gradient", g, step.clear_gradient ? std::vector<double>(weight.size()) : before, {});
        }
        check_close("weight", exact, weight, {1e-12, ctx.dtype == DType::f64 ? 1e-13 : 1e-5});
        for (int64_t i = 0; i < n && rounds; ++i) {
          CHECK(get(w, i) == static_cast<double>(to_float(to_bfloat16(static_cast<float>(get(exact, i))))));
        }
        if (v) check_close("sum", v, sum);
      }
    }
  }
}

TEST_CASE("SGD refuses sizes and options that do not go together") {
  TestContext ctx;
  const Tensor w = ctx.constant({3}, 2);
  CHECK_THROWS_AS(sgd(ctx, w, ctx.zeros({2}), ctx.zeros({3}), {}), InternalError);
  CHECK_THROWS_AS(sgd(ctx, w, {}, ctx.zeros({2}), {}), InternalError);
  CHECK_THROWS_AS(sgd(ctx, w, {}, ctx.zeros({3}), {.momentum = 0.5}), InternalError);
}

}  // namespace moe::test
