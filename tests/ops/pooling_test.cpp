#include <algorithm>
#include <cmath>

#include "core/ops/pooling.h"

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("pooling of hand-computed sequences") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor x = ctx.of({6, 2}, {1, 10, 2, 20, 6, 60, 3, 30, 4, 40, 5, 50});
  const Tensor targets = ctx.of_i32({6}, {0, 0, 0, 7, kIgnoreTarget, 0}), pooled = ctx.output({2, 2});
  pool_forward(ctx, pooled, x, targets, Pooling::mean);
  check_close("means", pooled, {3, 30, 4, 40});
  pool_forward(ctx, pooled, x, targets, Pooling::class_token);
  check_close("first tokens", pooled, {1, 10, 3, 30});
  pool_forward(ctx, pooled, x, targets, Pooling::last);
  check_close("last tokens", pooled, {6, 60, 5, 50});
  pool_forward(ctx, pooled, x, ctx.of_i32({6}, {0, 0, kIgnoreTarget, kIgnoreTarget, kIgnoreTarget, kIgnoreTarget}),
               Pooling::last);
  check_close("last tokens before padding", pooled, {2, 20, 0, 0});
}

TEST_CASE("pooling equals the reference; padding has no effect, whatever it holds") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 32, 33, 257}) {
    for (const int64_t time : {1, 5, 33}) {
      const int64_t sequences = 3;
      const Tensor x = ctx.normal({sequences * time, d}, 1), targets = ctx.random_i32({sequences * time}, 9, 2);
      for (int64_t t = 0; t < sequences * time; ++t) {
        const bool padding = t / time == 2 || t % time > 3;  // the last sequence is only padding
        if (!padding) continue;
        set(targets, t, kIgnoreTarget);
        for (int64_t i = 0; i < d; ++i) set(x, t * d + i, std::nan(""));
      }
      const Tensor pooled = ctx.output({sequences, d});
      pool_forward(ctx, pooled, x, targets, Pooling::mean);
      std::vector<double> expected;
      for (int64_t s = 0; s < sequences; ++s) {
        const int64_t counted = s == 2 ? 0 : std::min<int64_t>(time, 4);
        for (int64_t i = 0; i < d; ++i) {
          double sum = 0;
          for (int64_t t = 0; t < counted; ++t) sum += get(x, (s * time + t) * d + i) / static_cast<double>(counted);
          expected.push_back(sum);
        }
      }
      check_close(fmt::format("time {} width {}", time, d), pooled, expected);
    }
  }
}

TEST_CASE("pooling gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const Pooling pooling : {Pooling::mean, Pooling::class_token, Pooling::last}) {
    const Tensor x = ctx.normal({12, 5}, 1), targets = ctx.random_i32({12}, 4, 2), weight = ctx.normal({3, 5}, 3);
    set(targets, 1, kIgnoreTarget);
    set(targets, 7, kIgnoreTarget);
    const Tensor pooled = ctx.output({3, 5}), d_x = ctx.output(x.shape);
    pool_backward(ctx, d_x, weight, targets, pooling);
    check_gradients(
        [&] {
          pool_forward(ctx, pooled, x, targets, pooling);
          return dot(pooled, weight);
        },
        {{"x", x, d_x}});
  }
}

TEST_CASE("pooling accepts no sequences, and refuses invalid arguments") {
  TestContext ctx;
  pool_forward(ctx, ctx.output({0, 3}), ctx.zeros({0, 3}), ctx.of_i32({0}, {}), Pooling::mean);
  CHECK_THROWS_AS(pool_forward(ctx, ctx.output({2, 3}), ctx.zeros({5, 3}), ctx.random_i32({5}, 2, 1), Pooling::mean),
                  InternalError);
  CHECK_THROWS_AS(pool_backward(ctx, ctx.output({4, 3}), ctx.zeros({2, 2}), ctx.random_i32({4}, 2, 1), Pooling::mean),
                  InternalError);
  CHECK_THROWS_AS(pool_forward(ctx, ctx.output({2, 3}), ctx.zeros({4, 3}), ctx.random_i32({2}, 2, 1), Pooling::mean),
                  InternalError);
}

}  // namespace moe::test
