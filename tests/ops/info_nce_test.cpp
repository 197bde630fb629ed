#include "core/ops/info_nce.h"

#include <cmath>

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

static double loss_of(TestContext& ctx, Tensor a, double temperature, double factor, ConstTensor targets) {
  const Tensor losses = ctx.output({a.dim(0)});
  diagonal_cross_entropy(ctx, losses, a, temperature, factor, targets);
  double sum = 0;
  for (const double loss : values(losses)) sum += loss;
  return sum;
}

TEST_CASE("diagonal cross-entropy: hand-computed, padding, gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1});
  const Tensor a = ctx.of({3, 3}, {1, 9, 3, 9, 9, 9, 0, 9, 2});
  // Token 1 is padding, so anchors 0 and 2 have candidates 0 and 2. Temperature 2.
  const double want = std::log(1 + std::exp((3.0 - 1) / 2)) + std::log(1 + std::exp((0.0 - 2) / 2));
  CHECK(loss_of(ctx, ctx.copy_of(a), 2, 0, targets) == Approx(want));

  for (const int64_t n : {1, 2, 9, 33}) {
    const Tensor products = ctx.normal({n, n}, 1), some = ctx.random_i32({n}, 5, 2);
    if (n > 2) set(some, 1, kIgnoreTarget);
    const Tensor gradient = ctx.copy_of(products);
    const double loss = loss_of(ctx, gradient, 0.7, -3, some);
    CHECK(loss == Approx(loss_of(ctx, ctx.copy_of(products), 0.7, 0, some)));
    check_gradients([&] { return -3 * loss_of(ctx, ctx.copy_of(products), 0.7, 0, some); },
                    {{"products", products, gradient, n == 1}});
  }
}

}  // namespace moe::test
