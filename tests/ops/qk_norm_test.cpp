#include "core/ops/qk_norm.h"

#include <array>
#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("every query and key head is normalised separately") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const double eps = 1e-3;
  for (const AttentionLayout& layout :
       {AttentionLayout{1, 1, 1, 1}, AttentionLayout{1, 4, 2, 31}, AttentionLayout{1, 3, 1, 33}}) {
    for (const int64_t tokens : {0, 1, 5}) {
      const int64_t d = layout.d_head, normed = layout.heads + layout.kv_heads;
      const Tensor x = ctx.normal({tokens, layout.width()}, 1), q_weight = ctx.normal({d}, 2),
                   k_weight = ctx.normal({d}, 3);
      const Tensor y = ctx.output(x.shape), inverse_rms = ctx.wide_output({tokens, normed});
      qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, eps);
      std::vector<double> expected = values(x), scales;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t head = 0; head < normed; ++head) {
          double squares = 0;
          for (int64_t i = 0; i < d; ++i) squares += std::pow(get(x, t * layout.width() + head * d + i), 2);
          scales.push_back(1 / std::sqrt(squares / static_cast<double>(d) + eps));
          for (int64_t i = 0; i < d; ++i) {
            expected[as_index(t * layout.width() + head * d + i)] *=
                scales.back() * get(head < layout.heads ? q_weight : k_weight, i);
          }
        }
      }
      check_close("y", y, expected);
      check_close("inverse_rms", inverse_rms, scales);
    }
  }
}

TEST_CASE("q/k norm gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const AttentionLayout layout{1, 4, 2, 5};
  const Tensor x = ctx.normal({3, layout.width()}, 1), q_weight = ctx.normal({5}, 2), k_weight = ctx.normal({5}, 3);
  const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({3, 6}), d_y = ctx.normal(x.shape, 4);
  qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, 1e-2);
  const Tensor d_x = ctx.copy_of(d_y), d_q = ctx.constant({5}, 1), d_k = ctx.constant({5}, 1);
  qk_norm_backward(ctx, d_x, d_q, d_k, x, q_weight, k_weight, inverse_rms, layout);
  for (int64_t i = 0; i < 5; ++i) set(d_q, i, get(d_q, i) - 1), set(d_k, i, get(d_k, i) - 1);  // both are accumulated
  const auto loss = [&] {
    qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, 1e-2);
    return dot(y, d_y);
  };
  check_gradients(loss, {{"x", x, d_x}, {"q_weight", q_weight, d_q}, {"k_weight", k_weight, d_k}}, {.samples = 60});
}

TEST_CASE("q/k norm gives identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const AttentionLayout layout{1, 4, 2, 33};
  const Tensor x = ctx.normal({65, layout.width()}, 1), weight = ctx.normal({33}, 2), d_y = ctx.normal(x.shape, 3);
  const auto all = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({65, 6}), d_x = ctx.copy_of(d_y);
    const Tensor d_q = ctx.zeros({33}), d_k = ctx.zeros({33});
    qk_norm_forward(ctx, y, inverse_rms, x, weight, weight, layout, 1e-5);
    qk_norm_backward(ctx, d_x, d_q, d_k, x, weight, weight, inverse_rms, layout);
    return std::array{y, d_x, d_q, d_k};
  };
  const auto one = all(1), two = all(2);
  for (size_t i = 0; i < one.size(); ++i) check_same_bits(fmt::format("result {}", i), two[i], one[i]);
}

TEST_CASE("q/k norm refuses invalid shapes") {
  TestContext ctx;
  const AttentionLayout layout{1, 2, 1, 3};
  const Tensor x = ctx.zeros({2, 12}), y = ctx.output({2, 12}), rms = ctx.output({2, 3}), w = ctx.zeros({3});
  CHECK_THROWS_AS(qk_norm_forward(ctx, ctx.output({2, 11}), rms, x, w, w, layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_forward(ctx, y, ctx.output({2, 4}), x, w, w, layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_forward(ctx, y, rms, x, ctx.zeros({2}), w, layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_forward(ctx, y, rms, x, w, ctx.zeros({4}), layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, y, w, w, x, w, w, ctx.zeros({2, 2}), layout), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, y, ctx.zeros({2}), w, x, w, w, rms, layout), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, ctx.output({1, 12}), w, w, x, w, w, rms, layout), InternalError);
}

}  // namespace moe::test
