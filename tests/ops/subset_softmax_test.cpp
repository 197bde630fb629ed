#include "core/ops/subset_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("softmax over the chosen experts and over the others, hand-computed") {
  TestContext ctx;
  const double l2 = std::log(2), l3 = std::log(3), l4 = std::log(4);
  const Tensor logits = ctx.of({2, 4}, {0, l2, l3, l4, l3, l3, 0, 0}), indices = ctx.of_i32({2, 2}, {3, 1, 0, -1});
  const Tensor p = ctx.output(logits.shape), lse = ctx.output({2});
  subset_softmax(ctx, p, lse, logits, indices, true);
  check_close("chosen", p, {0, 2.0 / 6, 0, 4.0 / 6, 1, 0, 0, 0}, {1e-6, 1e-6});
  check_close("their log-sum-exp", lse, {std::log(6), l3}, {1e-6, 1e-6});
  subset_softmax(ctx, p, lse, logits, indices, false);
  check_close("others", p, {0.25, 0, 0.75, 0, 0, 0.6, 0.2, 0.2}, {1e-6, 1e-6});
  check_close("their log-sum-exp", lse, {l4, std::log(5)}, {1e-6, 1e-6});
}

TEST_CASE("softmax over no expert, and over closed ones, is zero") {
  TestContext ctx;
  const double closed = -std::numeric_limits<double>::infinity();
  const Tensor logits = ctx.of({3, 2}, {1, 2, closed, 3, closed, 700});
  const Tensor p = ctx.output(logits.shape), lse = ctx.output({3});
  subset_softmax(ctx, p, lse, logits, ctx.of_i32({3, 2}, {-1, -1, 0, -1, 0, 1}), true);
  check_close("chosen", p, {0, 0, 0, 0, 0, 1}, {});
  check_close("their log-sum-exp", lse, {0, 0, 700}, {1e-6, 0});
  subset_softmax(ctx, p, lse, logits, ctx.of_i32({3, 2}, {0, 1, 1, -1, 1, 0}), false);
  check_close("others", p, {0, 0, 0, 0, 0, 0}, {});
  check_close("their log-sum-exp", lse, {0, 0, 0}, {});
}

TEST_CASE("softmax over a part of the experts equals the reference") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t n : {1, 31, 33, 300}) {
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(n, 3)}) {
      for (const bool chosen : {true, false}) {
        const Tensor logits = ctx.wide_normal({17, n}, 1, 3), indices = ctx.output({17, k}, DType::i32);
        for (int64_t t = 0; t < 17; ++t) {
          for (int64_t j = 0; j < k; ++j) set(indices, t * k + j, static_cast<double>((5 * t + j) % n));
        }
        const Tensor p = ctx.wide_output(logits.shape), lse = ctx.wide_output({17});
        subset_softmax(ctx, p, lse, logits, indices, chosen);
        std::vector<double> expected, sums;
        for (int64_t t = 0; t < 17; ++t) {
          double sum = 0;
          std::vector<double> row;
          for (int64_t i = 0; i < n; ++i) {
            bool member = false;
            for (int64_t j = 0; j < k; ++j) member |= get(indices, t * k + j) == static_cast<double>(i);
            row.push_back(member == chosen ? std::exp(get(logits, t * n + i)) : 0);
            sum += row.back();
          }
          for (const double x : row) expected.push_back(sum > 0 ? x / sum : 0);
          sums.push_back(sum > 0 ? std::log(sum) : 0);
        }
        INFO("experts " << n << ", k " << k << ", chosen " << chosen);
        check_close("probabilities", p, expected, {1e-5, 1e-6});
        check_close("log-sum-exp", lse, sums, {1e-5, 1e-5});
      }
    }
  }
}

TEST_CASE("softmax over a part of the experts refuses invalid shapes") {
  TestContext ctx;
  const Tensor z = ctx.zeros({2, 3}), indices = ctx.of_i32({2, 1}, {0, 1}), lse = ctx.zeros({2});
  CHECK_THROWS_AS(subset_softmax(ctx, ctx.zeros({2, 2}), lse, z, indices, true), InternalError);
  CHECK_THROWS_AS(subset_softmax(ctx, ctx.zeros({2, 3}), ctx.zeros({3}), z, indices, true), InternalError);
  CHECK_THROWS_AS(subset_softmax(ctx, ctx.zeros({2, 3}), lse, z, ctx.of_i32({1, 2}, {0, 1}), true), InternalError);
  CHECK_THROWS_AS(subset_softmax(ctx, ctx.zeros({2, 3}), lse, z, ctx.zeros({2, 1}), true), InternalError);
}

}  // namespace moe::test
