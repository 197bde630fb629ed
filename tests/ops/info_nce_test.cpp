#include "core/ops/info_nce.h"

#include <cmath>

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEMPLATE_TEST_CASE("rows of unit length equal the reference at odd sizes", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 33, 257}) {
      const Tensor x = ctx.normal({rows, d}, 1, 3), y = ctx.output({rows, d}), norms = ctx.output({rows});
      normalise_rows_forward(ctx, y, norms, x);
      std::vector<double> want, want_norms;
      for (int64_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (int64_t i = r * d; i < (r + 1) * d; ++i) squares += get(x, i) * get(x, i);
        want_norms.push_back(std::sqrt(squares));
        for (int64_t i = r * d; i < (r + 1) * d; ++i) want.push_back(get(x, i) / std::sqrt(squares));
      }
      check_close("y", y, want);
      check_close("norms", norms, want_norms);
    }
  }
}

TEST_CASE("rows of unit length: gradients, and a row of zeros") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({5, 7}, 1), d_y = ctx.normal({5, 7}, 2);
  const Tensor y = ctx.output(x.shape), norms = ctx.output({5}), d_x = ctx.output(x.shape);
  const auto loss = [&] {
    normalise_rows_forward(ctx, y, norms, x);
    return dot(y, d_y);
  };
  loss();
  normalise_rows_backward(ctx, d_x, d_y, y, norms);
  check_gradients(loss, {{"x", x, d_x}});

  const Tensor zero = ctx.zeros({1, 3}), unit = ctx.output({1, 3}), norm = ctx.output({1}), d_zero = ctx.output({1, 3});
  normalise_rows_forward(ctx, unit, norm, zero);
  normalise_rows_backward(ctx, d_zero, ctx.constant({1, 3}, 1), unit, norm);
  check_close("unit", unit, {0, 0, 0}, {});
  check_close("d_zero", d_zero, {0, 0, 0}, {});
}

TEST_CASE("diagonal cross-entropy: hand-computed, padding, gradients") {
  TestContext ctx(DType::f64);
  const Tensor targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1});
  const Tensor a = ctx.of({3, 3}, {1, 9, 3, 9, 9, 9, 0, 9, 2});
  // Token 1 is padding: anchor 0 sees candidates 0 and 2, so does anchor 2. Temperature 2.
  const double want = std::log(1 + std::exp((3.0 - 1) / 2)) + std::log(1 + std::exp((0.0 - 2) / 2));
  CHECK(diagonal_cross_entropy(ctx, ctx.copy_of(a), 2, 0, targets) == Approx(want));

  for (const int64_t n : {1, 2, 9, 33}) {
    const Tensor products = ctx.normal({n, n}, 1), some = ctx.random_i32({n}, 5, 2);
    if (n > 2) some.as<int32_t>()[1] = kIgnoreTarget;
    const Tensor gradient = ctx.copy_of(products);
    const double loss = diagonal_cross_entropy(ctx, gradient, 0.7, -3, some);
    CHECK(loss == Approx(diagonal_cross_entropy(ctx, ctx.copy_of(products), 0.7, 0, some)));
    check_gradients([&] { return -3 * diagonal_cross_entropy(ctx, ctx.copy_of(products), 0.7, 0, some); },
                    {{"products", products, gradient, n == 1}});
  }
}

}  // namespace moe::test
