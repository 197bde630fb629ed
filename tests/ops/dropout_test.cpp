#include "core/ops/dropout.h"

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("dropout drops the configured share and preserves the mean") {
  TestContext ctx;
  const RandomKey key = ctx.random(RandomPurpose::residual_dropout, 1);
  for (const double rate : {0.1, 0.5, 0.9}) {
    const Tensor x = ctx.constant({1000, 33}, 1);
    dropout(ctx, x, rate, key, 0);
    double sum = 0, dropped = 0;
    for (const double value : values(x)) {
      sum += value;
      dropped += value == 0;
      if (value != 0) REQUIRE(value == Approx(1 / (1 - rate)));
    }
    CHECK(dropped / 33'000 == Approx(rate).margin(0.01));
    CHECK(sum / 33'000 == Approx(1).margin(0.05));
  }
}

TEST_CASE("dropout does not depend on how the batch is split") {
  TestContext ctx;
  const RandomKey key = ctx.random(RandomPurpose::residual_dropout, 1);
  for (const int64_t d : {1, 3, 4, 5, 33}) {
    const Tensor whole = ctx.constant({20, d}, 1), parts = ctx.constant({20, d}, 1);
    dropout(ctx, whole, 0.5, key, 100);
    dropout(ctx, parts.slice(0, 7), 0.5, key, 100);
    dropout(ctx, parts.slice(7, 0), 0.5, key, 107);
    dropout(ctx, parts.slice(7, 13), 0.5, key, 107);
    check_same_bits(fmt::format("width {}", d), parts, whole);
  }
}

TEST_CASE("dropout differs between tokens, columns, steps and streams; rate 0 changes nothing") {
  TestContext ctx;
  const auto dropped = [&](uint32_t stream, uint64_t step, int64_t first_token, double rate) {
    const Tensor x = ctx.constant({16, 8}, 1);
    ctx.step = step;
    dropout(ctx, x, rate, ctx.random(RandomPurpose::residual_dropout, stream), first_token);
    return values(x);
  };
  const auto base = dropped(1, 1, 0, 0.5);
  CHECK(base == dropped(1, 1, 0, 0.5));
  CHECK(base != dropped(2, 1, 0, 0.5));
  CHECK(base != dropped(1, 2, 0, 0.5));
  CHECK(base != dropped(1, 1, 1, 0.5));
  CHECK(dropped(1, 1, 0, 0) == std::vector<double>(128, 1));
  const Tensor x = ctx.normal({16, 8}, 4), y = ctx.copy_of(x);
  dropout(ctx, x, 0, ctx.random(RandomPurpose::residual_dropout, 1), 0);
  check_same_bits("rate 0", x, y);
}

TEST_CASE("dropout of rows in another order depends on each row's number") {
  TestContext ctx;
  const RandomKey key = ctx.random(RandomPurpose::output_dropout, 3);
  const std::vector<int32_t> order{4, 0, 3, 1, 2, 5};
  for (const int64_t d : {1, 4, 7}) {
    const Tensor whole = ctx.constant({6, d}, 1), rows = ctx.constant({6, d}, 1);
    dropout(ctx, whole, 0.5, key, 20);
    dropout(ctx, rows, 0.5, key, 20, ctx.of_i32({6}, order));
    for (int64_t r = 0; r < 6; ++r) {
      for (int64_t i = 0; i < d; ++i) CHECK(get(rows, r * d + i) == get(whole, order[as_index(r)] * d + i));
    }
  }
}

TEST_CASE("dropout leaves unused rows unchanged") {
  TestContext ctx;
  const RandomKey key{.seed = 5, .purpose = RandomPurpose::test};
  const Tensor x = ctx.constant({3, 6}, 1);
  dropout(ctx, x, 0.5, key, 0, ctx.of_i32({3}, {7, -1, 9}));
  for (const double untouched : values(x.slice(1, 1))) CHECK(untouched == 1);
  for (const double touched : values(x.slice(2, 1))) CHECK((touched == 0 || touched == 2));
}

TEST_CASE("groups of rows are dropped as a whole, at the configured rate, however the batch is split") {
  TestContext ctx;
  const RandomKey key = ctx.random(RandomPurpose::layer_dropout, 3);
  const Tensor whole = ctx.constant({6000, 3}, 1), parts = ctx.constant({6000, 3}, 1);
  drop_groups(ctx, whole, 0.3, key, 4, 2);
  drop_groups(ctx, parts.slice(0, 999), 0.3, key, 4, 2);
  drop_groups(ctx, parts.slice(999, 5001), 0.3, key, 1003, 2);
  check_same_bits("split", parts, whole);
  double dropped = 0;
  for (int64_t r = 0; r < 6000; r += 2) {
    const double first = get(whole, r * 3);
    for (int64_t i = 1; i < 6; ++i) REQUIRE(get(whole, r * 3 + i) == first);
    if (first != 0) REQUIRE(first == Approx(1 / 0.7));
    dropped += first == 0;
  }
  CHECK(dropped / 3000 == Approx(0.3).margin(0.03));
}

TEST_CASE("dropout refuses invalid arguments") {
  TestContext ctx;
  const Tensor two = ctx.zeros({2}), rows = ctx.zeros({2, 2});
  CHECK_THROWS_AS(dropout(ctx, two, 0.5, {}, 0), InternalError);
  CHECK_THROWS_AS(dropout(ctx, rows, 1, {}, 0), InternalError);
  CHECK_THROWS_AS(dropout(ctx, rows, 0.5, {}, 0, ctx.of_i32({3}, {0, 1, 2})), InternalError);
  CHECK_THROWS_AS(drop_groups(ctx, rows, 0.5, {}, 0, 0), InternalError);
}

}  // namespace moe::test
