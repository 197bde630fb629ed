#include "core/ops/routing_sums.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/tensor/device_sums.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

static void softmax(Tensor p, Tensor logsumexp, ConstTensor z) {
  const int64_t n = z.dim(1);
  for (int64_t t = 0; t < z.dim(0); ++t) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(get(z, t * n + i));
    for (int64_t i = 0; i < n; ++i) set(p, t * n + i, std::exp(get(z, t * n + i)) / sum);
    set(logsumexp, t, std::log(sum));
  }
}

TEST_CASE("sums over a hand-computed routing exclude padding") {
  TestContext ctx;
  const Tensor targets = ctx.of_i32({3}, {5, kIgnoreTarget, 0});
  const Tensor tokens = ctx.constant({1}, 10, DType::f64);
  token_sum(ctx, tokens, targets);
  check_close("tokens are added to", tokens, {12}, {});

  const Tensor sums = ctx.constant({2}, 10, DType::f64);
  column_sums(ctx, sums, ctx.of({3, 2}, {1, 2, 100, 100, 3, 4}), targets);
  check_close("sums are added to", sums, {14, 16}, {});

  const Tensor counts = ctx.constant({4}, 1, DType::f64), importance = ctx.constant({4}, 0, DType::f64);
  const Tensor indices = ctx.of_i32({3, 2}, {0, 2, 3, 1, 2, -1}), weights = ctx.of({3, 2}, {0.25, 0.75, 9, 9, 0.5, 9});
  assignment_sums(ctx, counts, importance, indices, weights, targets);
  check_close("counts are added to", counts, {2, 1, 3, 1}, {});
  check_close("importance", importance, {0.25, 0, 1.25, 0}, {});
  assignment_sums(ctx, counts, {}, indices, weights, targets);
  check_close("counts without importance", counts, {3, 1, 5, 1}, {});

  const Tensor p = ctx.of({3, 2}, {0.5, 0.5, 0.3, 0.7, 1, 0});
  const Tensor entropy = ctx.constant({1}, 10, DType::f64), squares = ctx.constant({1}, 10, DType::f64);
  entropy_sum(ctx, entropy, p, targets);
  check_close("entropy is added to", entropy, {10 + std::log(2)}, {1e-6, 1e-6});
  squared_logsumexp_sum(ctx, squares, ctx.of({3}, {2, 50, -3}), targets);
  check_close("squares are added to", squares, {23}, {1e-6, 1e-6});
}

TEST_CASE("routing sums equal the reference, for any split") {
  TestContext ctx(wide(GENERATE(from_range(tested_dtypes()))));
  for (const int64_t n : {1, 7, 8, 9, 33}) {
    for (const int64_t tokens : {0, 1, 257}) {
      const Tensor x = ctx.normal({tokens, n}, 1), targets = ctx.random_i32({tokens}, 4, 2);
      for (int64_t t = 0; t < tokens; t += 3) set(targets, t, kIgnoreTarget);
      std::vector<double> expected(static_cast<size_t>(n));
      for (int64_t i = 0; i < tokens * n; ++i) {
        if (host_data<int32_t>(targets)[i / n] != kIgnoreTarget) expected[as_index(i % n)] += get(x, i);
      }
      const Tensor whole = ctx.constant({n}, 0, DType::f64), parts = ctx.constant({n}, 0, DType::f64);
      column_sums(ctx, whole, x, targets);
      check_close("sums", whole, expected, {1e-12, 1e-12});
      const int64_t half = tokens / 2;
      column_sums(ctx, parts, x.slice(0, half), targets.slice(0, half));
      column_sums(ctx, parts, x.slice(half, tokens - half), targets.slice(half, tokens - half));
      if (on_cpu())
        check_same_bits("sums of two parts", parts, whole);
      else  // partial sums cover whole calls
        check_close("sums of two parts", parts, whole, {1e-13, 1e-13});
    }
  }
}

TEST_CASE("pairs of experts that a token chose are counted, without padding and empty slots") {
  TestContext ctx;
  const Tensor pairs = ctx.constant({3}, 10, DType::f64);  // {0, 1}, {0, 2}, {1, 2}
  pair_sums(ctx, pairs, ctx.of_i32({4, 3}, {2, 0, -1, 0, 1, 2, 1, 1, 0, 2, -1, -1}),
            ctx.of_i32({4}, {1, kIgnoreTarget, 1, 1}));
  check_close("pairs are added to", pairs, {12, 11, 10}, {});  // an expert that is chosen twice makes two pairs
  for (const int64_t experts : {1, 2, 33}) {
    for (const int64_t tokens : {0, 1, 257}) {
      for (const int64_t k : {int64_t{1}, int64_t{2}, int64_t{5}}) {
        const int64_t n = experts * (experts - 1) / 2;
        const Tensor indices = ctx.random_i32({tokens, k}, static_cast<int32_t>(experts), 2);
        const Tensor targets = ctx.random_i32({tokens}, 4, 3), sums = ctx.constant({n}, 0, DType::f64);
        for (int64_t t = 0; t < tokens; t += 3) set(targets, t, kIgnoreTarget);
        for (int64_t i = 0; i < tokens * k; i += 7) set(indices, i, -1);
        std::vector<double> expected(static_cast<size_t>(n));
        for (int64_t t = 0; t < tokens; ++t) {
          if (host_data<int32_t>(targets)[t] == kIgnoreTarget) continue;
          for (int64_t b = 1; b < experts; ++b) {
            for (int64_t a = 0; a < b; ++a) {
              const int32_t* chosen = host_data<int32_t>(indices) + t * k;
              expected[as_index(b * (b - 1) / 2 + a)] +=
                  static_cast<double>(std::count(chosen, chosen + k, static_cast<int32_t>(a)) *
                                      std::count(chosen, chosen + k, static_cast<int32_t>(b)));
            }
          }
        }
        pair_sums(ctx, sums, indices, targets);
        check_close(fmt::format("pairs of {} experts, {} tokens, k {}", experts, tokens, k), sums, expected, {});
      }
    }
  }
}

TEST_CASE("the gradient of the rows' entropies is added, without padding and where a probability is 0") {
  TestContext ctx;
  const int64_t tokens = 5, experts = 33;
  std::vector<double> p, expected;
  const std::vector<int32_t> targets{1, kIgnoreTarget, 0, 2, 1};
  for (int64_t t = 0; t < tokens; ++t) {
    double sum = 0, entropy = 0;
    const auto weight = [&](int64_t i) {
      return t == 2 && i > 3 ? 0.0 : 1.0 + static_cast<double>((t * 7 + i * i) % 11);
    };
    for (int64_t i = 0; i < experts; ++i) sum += weight(i);
    for (int64_t i = 0; i < experts; ++i) {
      p.push_back(weight(i) / sum);
      if (p.back() > 0) entropy -= p.back() * std::log(p.back());
    }
    for (int64_t i = 0; i < experts; ++i) {
      const double q = p[as_index(t * experts + i)];
      const bool counts = targets[as_index(t)] != kIgnoreTarget && q > 0;
      expected.push_back(7 - (counts ? 0.5 * q * (std::log(q) + entropy) : 0));
    }
  }
  const Tensor d_logits = ctx.constant({tokens, experts}, 7);
  entropy_backward(ctx, d_logits, ctx.of({tokens, experts}, p), 0.5, ctx.of_i32({tokens}, targets));
  check_close("d_logits", d_logits, expected);
}

TEST_CASE("sums with a device copy are complete when they are collected") {
  TestContext ctx;
  const Tensor targets = ctx.of_i32({3}, {5, kIgnoreTarget, 0}), x = ctx.of({3, 2}, {1, 2, 100, 100, 3, 4});
  std::vector<double> host{7, 1, 2, 7}, other{1, 2};
  const auto tensor = [](std::vector<double>& values, size_t begin, int64_t count) {
    return Tensor{values.data() + begin, Shape{count}, DType::f64, Device::cpu};
  };
  DeviceSums sums;
  if (!on_cpu()) sums = DeviceSums(ctx, host);
  ctx.sums = &sums;
  CHECK(bool(sums.device_copy(tensor(host, 1, 3))) == !on_cpu());
  CHECK_FALSE(sums.device_copy(tensor(other, 0, 2)));
  column_sums(ctx, tensor(host, 1, 2), x, targets);
  column_sums(ctx, tensor(other, 0, 2), x, targets);
  CHECK(other == std::vector<double>{5, 8});  // these are not collected
  CHECK(host == (on_cpu() ? std::vector<double>{7, 5, 8, 7} : std::vector<double>{7, 1, 2, 7}));
  token_sum(ctx, tensor(host, 3, 1), targets);
  for (int again = 0; again < 2; ++again) {
    sums.collect(ctx);
    CHECK(host == std::vector<double>{7, 5, 8, 9});
  }
  column_sums(ctx, tensor(host, 0, 2), x, targets);
  sums.collect(ctx);
  CHECK(host == std::vector<double>{11, 11, 8, 9});
}

TEST_CASE("gradients of functions of routing sums", "[cpu]") {
  TestContext ctx(DType::f64);
  const int64_t tokens = 4, n = 5;
  const Tensor z = ctx.normal({tokens, n}, 1), p = ctx.output(z.shape), logsumexp = ctx.output({tokens});
  const Tensor targets = ctx.of_i32({tokens}, {1, kIgnoreTarget, 1, 1}), gradient = ctx.normal({n}, 2);
  const Tensor sums = ctx.output({n});
  softmax(p, logsumexp, z);

  const Tensor d_z = ctx.constant(z.shape, 3);
  softmax_sum_backward(ctx, d_z, p, gradient, targets);
  for (int64_t i = 0; i < d_z.size(); ++i) set(d_z, i, get(d_z, i) - 3);  // it is accumulated
  const auto linear = [&] {
    softmax(p, logsumexp, z);
    for (int64_t i = 0; i < n; ++i) set(sums, i, 0);
    column_sums(ctx, sums, p, targets);
    return dot(sums, gradient);
  };
  check_gradients(linear, {{"softmax sums", z, d_z}});

  softmax(p, logsumexp, z);
  const Tensor d_square = ctx.constant(z.shape, 3);
  squared_logsumexp_backward(ctx, d_square, p, logsumexp, 0.7, targets);
  for (int64_t i = 0; i < d_square.size(); ++i) set(d_square, i, get(d_square, i) - 3);
  const auto squares = [&] {
    softmax(p, logsumexp, z);
    set(sums, 0, 0);
    squared_logsumexp_sum(ctx, sums.slice(0, 1), logsumexp, targets);
    return 0.7 * get(sums, 0);
  };
  check_gradients(squares, {{"squared logsumexp", z, d_square}});
}

TEST_CASE("routing sums refuse invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({2, 3}), targets = ctx.of_i32({2}, {0, 0}), one = ctx.of_i32({1}, {0});
  const Tensor sums = ctx.constant({3}, 0, DType::f64), short_sums = ctx.constant({2}, 0, DType::f64);
  const Tensor indices = ctx.of_i32({2, 1}, {0, 1}), weights = ctx.zeros({2, 1});
  CHECK_THROWS_AS(column_sums(ctx, short_sums, x, targets), InternalError);
  CHECK_THROWS_AS(column_sums(ctx, sums, x, one), InternalError);
  CHECK_THROWS_AS(assignment_sums(ctx, sums, {}, indices, weights, one), InternalError);
  CHECK_THROWS_AS(assignment_sums(ctx, sums, sums, indices, ctx.zeros({1, 1}), targets), InternalError);
  CHECK_THROWS_AS(assignment_sums(ctx, sums, short_sums, indices, weights, targets), InternalError);
  const Tensor sum = ctx.constant({1}, 0, DType::f64);
  CHECK_THROWS_AS(entropy_sum(ctx, sum, x, one), InternalError);
  CHECK_THROWS_AS(entropy_sum(ctx, sums, x, targets), InternalError);
  CHECK_THROWS_AS(squared_logsumexp_sum(ctx, sum, ctx.zeros({2}), one), InternalError);
  CHECK_THROWS_AS(token_sum(ctx, sums, targets), InternalError);
  CHECK_THROWS_AS(softmax_sum_backward(ctx, x, x, short_sums, targets), InternalError);
  CHECK_THROWS_AS(softmax_sum_backward(ctx, x, x, sums, one), InternalError);
  CHECK_THROWS_AS(squared_logsumexp_backward(ctx, x, ctx.zeros({2, 2}), ctx.zeros({2}), 1, targets), InternalError);
  CHECK_THROWS_AS(squared_logsumexp_backward(ctx, x, x, ctx.zeros({2}), 1, one), InternalError);
}

}  // namespace moe::test
