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

TEST_CASE("wide weights normalise the whole query and the whole key") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const double eps = 1e-3;
  for (const AttentionLayout& layout :
       {AttentionLayout{1, 4, 2, 31}, AttentionLayout{1, 3, 1, 33}, AttentionLayout{1, 2, 2, 1}, {1, 8, 1, 72}}) {
    for (const int64_t tokens : {0, 1, 5}) {
      const int64_t q = layout.heads * layout.d_head, k = layout.kv_heads * layout.d_head;
      const Tensor x = ctx.normal({tokens, layout.width()}, 1), q_weight = ctx.normal({q}, 2),
                   k_weight = ctx.normal({k}, 3);
      const Tensor y = ctx.output(x.shape), inverse_rms = ctx.wide_output({tokens, 2});
      qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, eps);
      std::vector<double> expected = values(x), scales;
      const auto normalise = [&](int64_t begin, int64_t n, const Tensor& weight) {
        double squares = 0;
        for (int64_t i = 0; i < n; ++i) squares += std::pow(get(x, begin + i), 2);
        scales.push_back(1 / std::sqrt(squares / static_cast<double>(n) + eps));
        for (int64_t i = 0; i < n; ++i) expected[as_index(begin + i)] *= scales.back() * get(weight, i);
      };
      for (int64_t t = 0; t < tokens; ++t) {
        normalise(t * layout.width(), q, q_weight);
        normalise(t * layout.width() + q, k, k_weight);
      }
      check_close("y", y, expected);
      check_close("inverse_rms", inverse_rms, scales);
    }
  }
}

TEST_CASE("q/k norm gradients", "[cpu]") {
  const AttentionLayout layout{1, 4, 2, 5};
  for (const auto& [q, k, spans] : {std::array<int64_t, 3>{5, 5, 6}, {20, 10, 2}}) {
    INFO("weights of " << q << " and " << k);
    TestContext ctx(DType::f64);
    const Tensor x = ctx.normal({3, layout.width()}, 1), q_weight = ctx.normal({q}, 2), k_weight = ctx.normal({k}, 3);
    const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({3, spans}), d_y = ctx.normal(x.shape, 4);
    qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, 1e-2);
    const Tensor d_x = ctx.copy_of(d_y), d_q = ctx.constant({q}, 1), d_k = ctx.constant({k}, 1);
    qk_norm_backward(ctx, d_x, d_q, d_k, x, q_weight, k_weight, inverse_rms, layout);
    for (const Tensor& d : {d_q, d_k}) {  // both are accumulated
      for (int64_t i = 0; i < d.size(); ++i) set(d, i, get(d, i) - 1);
    }
    const auto loss = [&] {
      qk_norm_forward(ctx, y, inverse_rms, x, q_weight, k_weight, layout, 1e-2);
      return dot(y, d_y);
    };
    check_gradients(loss, {{"x", x, d_x}, {"q_weight", q_weight, d_q}, {"k_weight", k_weight, d_k}}, {.samples = 60});
  }
}

TEST_CASE("q/k norm gives identical bits for any number of threads", "[cpu]") {
  TestContext ctx;
  const AttentionLayout layout{1, 4, 2, 33};
  struct Case {
    int64_t q, k, spans;
  };
  for (const Case& c : {Case{33, 33, 6}, Case{132, 66, 2}}) {
    const int64_t q = c.q, k = c.k, spans = c.spans;
    const Tensor x = ctx.normal({65, layout.width()}, 1), wq = ctx.normal({q}, 2), wk = ctx.normal({k}, 4),
                 d_y = ctx.normal(x.shape, 3);
    const auto all = [&](int num_threads) {
      const ThreadCount threads(num_threads);
      const Tensor y = ctx.output(x.shape), inverse_rms = ctx.output({65, spans}), d_x = ctx.copy_of(d_y);
      const Tensor d_q = ctx.zeros({q}), d_k = ctx.zeros({k});
      qk_norm_forward(ctx, y, inverse_rms, x, wq, wk, layout, 1e-5);
      qk_norm_backward(ctx, d_x, d_q, d_k, x, wq, wk, inverse_rms, layout);
      return std::array{y, d_x, d_q, d_k};
    };
    const auto one = all(1), two = all(2);
    for (size_t i = 0; i < one.size(); ++i) check_same_bits(fmt::format("result {}", i), two[i], one[i]);
  }
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
  const Tensor wide = ctx.zeros({6});  // of both heads of queries; the keys have one head
  qk_norm_forward(ctx, y, ctx.output({2, 2}), x, wide, w, layout, 1);
  CHECK_THROWS_AS(qk_norm_forward(ctx, y, rms, x, wide, w, layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_forward(ctx, y, ctx.output({2, 2}), x, wide, wide, layout, 0), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, y, w, w, x, wide, w, ctx.zeros({2, 2}), layout), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, y, ctx.zeros({2}), w, x, w, w, rms, layout), InternalError);
  CHECK_THROWS_AS(qk_norm_backward(ctx, ctx.output({1, 12}), w, w, x, w, w, rms, layout), InternalError);
}

}  // namespace moe::test
