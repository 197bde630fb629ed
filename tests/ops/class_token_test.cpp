#include "core/ops/class_token.h"

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("every sequence starts with the class token") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor y = ctx.output({6, 2});
  class_token_forward(ctx, y, ctx.of({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}), ctx.of({2}, {-1, -2}), 3);
  check_close("y", y, {-1, -2, 1, 2, 3, 4, -1, -2, 5, 6, 7, 8});
}

TEST_CASE("class token equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 32, 33, 257}) {
    for (const int64_t time : {2, 18}) {
      const Tensor x = ctx.normal({3 * (time - 1), d}, 1), row = ctx.normal({d}, 2), y = ctx.output({3 * time, d});
      class_token_forward(ctx, y, x, row, time);
      std::vector<double> expected;
      for (int64_t t = 0; t < 3 * time; ++t) {
        for (int64_t i = 0; i < d; ++i) {
          expected.push_back(t % time == 0 ? get(row, i) : get(x, (t - t / time - 1) * d + i));
        }
      }
      check_close("y", y, expected, {0, 0});
    }
  }
}

TEST_CASE("class token gradients; the row's gradient is accumulated", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({8, 5}, 1), row = ctx.normal({5}, 2), weight = ctx.normal({12, 5}, 3);
  const Tensor y = ctx.output({12, 5}), d_x = ctx.output(x.shape), d_row = ctx.zeros({5}), more = ctx.constant({5}, 2);
  class_token_backward(ctx, d_x, d_row, weight, 3);
  check_gradients(
      [&] {
        class_token_forward(ctx, y, x, row, 3);
        return dot(y, weight);
      },
      {{"x", x, d_x}, {"row", row, d_row}});
  class_token_backward(ctx, d_x, more, weight, 3);
  for (int64_t i = 0; i < 5; ++i) CHECK(get(more, i) == Approx(get(d_row, i) + 2));
}

TEST_CASE("class token accepts no sequences, and refuses invalid arguments") {
  TestContext ctx;
  class_token_forward(ctx, ctx.output({0, 3}), ctx.zeros({0, 3}), ctx.zeros({3}), 4);
  CHECK_THROWS_AS(class_token_forward(ctx, ctx.output({5, 3}), ctx.zeros({4, 3}), ctx.zeros({3}), 4), InternalError);
  CHECK_THROWS_AS(class_token_forward(ctx, ctx.output({4, 3}), ctx.zeros({4, 3}), ctx.zeros({3}), 4), InternalError);
  CHECK_THROWS_AS(class_token_backward(ctx, ctx.output({3, 3}), ctx.zeros({2}), ctx.zeros({4, 3}), 4), InternalError);
}

}  // namespace moe::test
