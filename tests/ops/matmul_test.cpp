#include "core/ops/matmul.h"

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("linear product of a hand-computed case") {
  TestContext ctx(DType::f64);
  const Tensor y = ctx.output({2, 2});
  linear_forward(ctx, y, ctx.of({2, 3}, {1, 2, 3, 4, 5, 6}), ctx.of({2, 3}, {1, 0, -1, 2, 2, 2}));
  check_close("y", y, {-2, 12, -2, 30});
}

TEST_CASE("linear products equal the reference") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t out : {1, 31, 257}) {
      for (const int64_t in : {1, 32, 33}) {
        const Tensor x = ctx.normal({rows, in}, 1), weight = ctx.normal({out, in}, 2), d_y = ctx.normal({rows, out}, 3);
        std::vector<double> want_y(static_cast<size_t>(rows * out)), want_x(static_cast<size_t>(rows * in)),
            want_weight(static_cast<size_t>(out * in));
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < out; ++o) {
            for (int64_t i = 0; i < in; ++i) {
              want_y[as_index(r * out + o)] += get(x, r * in + i) * get(weight, o * in + i);
              want_x[as_index(r * in + i)] += get(d_y, r * out + o) * get(weight, o * in + i);
              want_weight[as_index(o * in + i)] += get(d_y, r * out + o) * get(x, r * in + i);
            }
          }
        }
        const Tolerance tolerance = ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-12} : Tolerance{1e-5, 1e-5};
        const Tolerance rounded = ctx.dtype == DType::bf16 ? tolerance_of(ctx.dtype) : tolerance;
        const Tensor y = ctx.output({rows, out}), d_x = ctx.output({rows, in}), d_weight = ctx.wide_zeros({out, in});
        linear_forward(ctx, y, x, weight);
        check_close("y", y, want_y, rounded);
        linear_backward_input(ctx, d_x, d_y, weight);
        check_close("d_x", d_x, want_x, rounded);
        linear_backward_weight(ctx, d_weight, d_y, x);
        check_close("d_weight", d_weight, want_weight, tolerance);
        for (double& value : want_x) value *= 2;
        for (double& value : want_weight) value *= 2;
        linear_backward_input(ctx, d_x, d_y, weight, true);
        check_close("d_x, accumulated", d_x, want_x, rounded);
        linear_backward_weight(ctx, d_weight, d_y, x);
        check_close("d_weight, added to", d_weight, want_weight, tolerance);
      }
    }
  }
}

TEST_CASE("linear gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({3, 5}, 1), weight = ctx.normal({4, 5}, 2), d_y = ctx.normal({3, 4}, 3),
               y = ctx.output({3, 4});
  const Tensor d_x = ctx.output({3, 5}), d_weight = ctx.zeros({4, 5});
  linear_backward_input(ctx, d_x, d_y, weight);
  linear_backward_weight(ctx, d_weight, d_y, x);
  const auto loss = [&] {
    linear_forward(ctx, y, x, weight);
    return dot(y, d_y);
  };
  check_gradients(loss, {{"x", x, d_x}, {"weight", weight, d_weight}});
}

TEST_CASE("a row's product has identical bits in every batch and for any number of threads", "[cpu]") {
  TestContext ctx;
  const Tensor x = ctx.normal({130, 257}, 1), weight = ctx.normal({200, 257}, 2);
  const Tensor whole = ctx.output({130, 200}), other = ctx.output({130, 200}), part = ctx.output({7, 200});
  {
    const ThreadCount threads(1);
    linear_forward(ctx, whole, x, weight);
  }
  const ThreadCount threads(2);
  linear_forward(ctx, other, x, weight);
  linear_forward(ctx, part, x.slice(60, 7), weight);
  check_same_bits("two threads", other, whole);
  check_same_bits("a part of the batch", part, whole.slice(60, 7));
}

TEST_CASE("linear products refuse invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({2, 3}), weight = ctx.zeros({4, 3}), y = ctx.output({2, 4});
  CHECK_THROWS_AS(linear_forward(ctx, y, ctx.zeros({2, 4}), weight), InternalError);
  CHECK_THROWS_AS(linear_forward(ctx, ctx.output({2, 3}), x, weight), InternalError);
  CHECK_THROWS_AS(linear_backward_input(ctx, ctx.output({2, 4}), y, weight), InternalError);
  CHECK_THROWS_AS(linear_backward_weight(ctx, weight, y, ctx.zeros({3, 3})), InternalError);
  CHECK_THROWS_AS(linear_forward(ctx, y, ctx.constant({2, 3}, 0, DType::f64), weight), InternalError);
}

}  // namespace moe::test
