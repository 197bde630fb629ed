#include "core/ops/rope.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("rope rotates pairs of query and key dimensions by the position") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const double theta = 100;
  for (const AttentionLayout& layout :
       {AttentionLayout{1, 1, 1, 2}, AttentionLayout{5, 4, 2, 8}, AttentionLayout{70, 2, 1, 5}}) {
    for (const int64_t rotary : {int64_t{0}, int64_t{2}, layout.d_head / 2 * 2}) {
      const Tensor qkv = ctx.normal({2 * layout.time, layout.width()}, 1);
      std::vector<double> expected = values(qkv);
      for (int64_t t = 0; t < 2 * layout.time; ++t) {
        for (int64_t head = 0; head < layout.heads + layout.kv_heads; ++head) {
          double* x = expected.data() + t * layout.width() + head * layout.d_head;
          for (int64_t j = 0; j < rotary / 2; ++j) {
            const double angle = double(t % layout.time) * std::pow(theta, -2.0 * double(j) / double(rotary));
            const double a = x[j], b = x[j + rotary / 2];
            x[j] = a * std::cos(angle) - b * std::sin(angle);
            x[j + rotary / 2] = a * std::sin(angle) + b * std::cos(angle);
          }
        }
      }
      rope_forward(ctx, qkv, layout, rotary, theta);
      check_close("qkv", qkv, expected);
    }
  }
}

TEST_CASE("rope backward is the inverse of forward") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{33, 2, 1, 7};
  const Tensor qkv = ctx.normal({66, layout.width()}, 1), before = ctx.copy_of(qkv);
  rope_forward(ctx, qkv, layout, 6, 10000);
  rope_backward(ctx, qkv, layout, 6, 10000);
  check_close("qkv", qkv, before);
}

TEST_CASE("with rope the score of a query and a key depends only on their distance") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{10, 1, 1, 8};
  const Tensor row = ctx.normal({1, 24}, 2), qkv = ctx.output({10, 24});
  for (int64_t i = 0; i < 240; ++i) set(qkv, i, get(row, i % 24));
  rope_forward(ctx, qkv, layout, 8, 10000);
  const auto score = [&](int64_t query, int64_t key) {
    double sum = 0;
    for (int64_t i = 0; i < 8; ++i) sum += get(qkv, query * 24 + i) * get(qkv, key * 24 + 8 + i);
    return sum;
  };
  CHECK(score(3, 1) == Approx(score(9, 7)));
  CHECK(score(3, 1) != Approx(score(3, 2)));
}

TEST_CASE("rope gradient", "[cpu]") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{3, 2, 1, 5};
  const Tensor x = ctx.normal({6, layout.width()}, 1), direction = ctx.normal(x.shape, 2), d_x = ctx.copy_of(direction);
  rope_backward(ctx, d_x, layout, 4, 100);
  const auto loss = [&] {
    const Tensor turned = ctx.copy_of(x);
    rope_forward(ctx, turned, layout, 4, 100);
    return dot(turned, direction);
  };
  check_gradients(loss, {{"qkv", x, d_x}});
}

TEST_CASE("rope accepts no tokens, and refuses invalid shapes") {
  TestContext ctx;
  const AttentionLayout layout{2, 1, 1, 4};
  rope_forward(ctx, ctx.zeros({0, 12}), layout, 4, 100);
  CHECK_THROWS_AS(rope_forward(ctx, ctx.zeros({2, 11}), layout, 4, 100), InternalError);
  CHECK_THROWS_AS(rope_forward(ctx, ctx.zeros({2, 12}), layout, 6, 100), InternalError);
  CHECK_THROWS_AS(rope_backward(ctx, ctx.zeros({2, 12}), layout, 3, 100), InternalError);
}

}  // namespace moe::test
