// Choices other than top-k by softmax: sigmoid, ReLU, groups, expert choice, Sinkhorn, hash; and the sums of them that
// balance losses use.
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/ops/expert_choice.h"
#include "core/ops/expert_output_sums.h"
#include "core/ops/gating.h"
#include "core/ops/group_gating.h"
#include "core/ops/hash_choice.h"
#include "core/ops/relu_gating.h"
#include "core/ops/sigmoid_gating.h"
#include "core/ops/sinkhorn.h"
#include "core/ops/smooth_load.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("sigmoid scores with a bias, and the limit to the best groups", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.of({1, 4}, {0, std::log(3), -std::log(3), -INFINITY}), bias = ctx.of({4}, {0, 1, 0, 9});
  const Tensor scores = ctx.output({1, 4});
  biased_sigmoid_scores(ctx, scores, z, bias, {1, 1});
  CHECK(values(scores) == std::vector<double>{0.5, 1.75, 0.25, -INFINITY});
  biased_sigmoid_scores(ctx, scores, z, bias, {2, 1});  // 2.25 against -inf
  CHECK(values(scores) == std::vector<double>{0.5, 1.75, -INFINITY, -INFINITY});
  biased_sigmoid_scores(ctx, scores, ctx.zeros({1, 4}), ctx.zeros({4}), {4, 2});  // ties go to the smaller index
  CHECK(values(scores) == std::vector<double>{0.5, 0.5, -INFINITY, -INFINITY});
  CHECK_THROWS_AS(biased_sigmoid_scores(ctx, scores, z, bias, {3, 1}), InternalError);
  step_bias(ctx, bias, ctx.of({4}, {3, 1, 2, 2}), 0.5);
  CHECK(values(bias) == std::vector<double>{-0.5, 1.5, 0, 9});
}

TEST_CASE("shares of sigmoid scores: values and gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.normal({3, 5}, 1), shares = ctx.output({3, 5}), d_z = ctx.constant({3, 5}, 1);
  const Tensor targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1}), gradient = ctx.of({5}, {0.5, -1, 2, 0, 3});
  const auto loss = [&] {
    sigmoid_shares_forward(ctx, shares, z);
    double sum = 0;
    for (const int64_t t : {0, 2}) {
      for (int64_t e = 0; e < 5; ++e) sum += get(shares, t * 5 + e) * get(gradient, e);
    }
    return sum;
  };
  loss();
  for (int64_t t = 0; t < 3; ++t) {
    double sum = 0, scores = 0;
    for (int64_t e = 0; e < 5; ++e) scores += 1 / (1 + std::exp(-get(z, t * 5 + e)));
    for (int64_t e = 0; e < 5; ++e) {
      sum += get(shares, t * 5 + e);
      CHECK(get(shares, t * 5 + e) == Approx(1 / (1 + std::exp(-get(z, t * 5 + e))) / scores));
    }
    CHECK(sum == Approx(1));
  }
  sigmoid_shares_backward(ctx, d_z, shares, z, gradient, targets);
  for (int64_t i = 0; i < d_z.size(); ++i) set(d_z, i, get(d_z, i) - 1);  // it is accumulated
  for (int64_t e = 5; e < 10; ++e) CHECK(get(d_z, e) == 0);
  check_gradients(loss, {{"logits", z, d_z}});
  const Tensor none = ctx.constant({1, 2}, -INFINITY), zero = ctx.output({1, 2});
  sigmoid_shares_forward(ctx, zero, none);
  CHECK(values(zero) == std::vector<double>{0, 0});
}

TEST_CASE("sigmoid weights: values and gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor indices = ctx.of_i32({2, 3}, {4, 0, -1, 1, 2, 3});
  for (const SigmoidWeights& options : {SigmoidWeights{true, 1}, SigmoidWeights{true, 2.5}, SigmoidWeights{false, 1}}) {
    const Tensor z = ctx.normal({2, 5}, 1), w = ctx.output({2, 3}), d_w = ctx.normal({2, 3}, 2);
    const Tensor d_z = ctx.constant({2, 5}, 1);
    const auto loss = [&] {
      sigmoid_weights_forward(ctx, w, z, indices, options);
      return dot(w, d_w);
    };
    loss();
    CHECK(get(w, 2) == 0);
    if (options.renormalise) CHECK(get(w, 0) + get(w, 1) == Approx(options.scale));
    sigmoid_weights_backward(ctx, d_z, d_w, z, indices, options);
    for (int64_t i = 0; i < d_z.size(); ++i) set(d_z, i, get(d_z, i) - 1);  // it is accumulated
    check_gradients(loss, {{"logits", z, d_z}});
  }
  const Tensor w = ctx.output({1, 2}), d_z = ctx.zeros({1, 3});
  const Tensor low = ctx.constant({1, 3}, -1e4), two = ctx.of_i32({1, 2}, {0, 1});
  sigmoid_weights_forward(ctx, w, low, two, {});
  sigmoid_weights_backward(ctx, d_z, ctx.constant({1, 2}, 1), low, two, {});
  for (const ConstTensor& t : {ConstTensor(w), ConstTensor(d_z)})
    for (const double value : values(t)) CHECK(std::isfinite(value));
}

TEST_CASE("ReLU gating: values, gradients, padding and the regulated coefficient", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.of({2, 3}, {0.5, -1, 2, 0, 3, NAN}), indices = ctx.output({2, 3}, DType::i32),
               w = ctx.output({2, 3});
  relu_gating_forward(ctx, indices, w, z);
  check_close("indices", indices, {0, -1, 2, -1, 1, -1}, {});
  check_close("weights", w, {0.5, 0, 2, 0, 3, 0}, {});
  const Tensor targets = ctx.of_i32({2}, {1, kIgnoreTarget}), l1 = ctx.of({1}, {0.1}), d_z = ctx.constant({2, 3}, 1);
  CHECK(sum_from([&](Tensor sum) { scaled_weight_sum(ctx, sum, w, targets, l1); }) == Approx(0.25));
  relu_gating_backward(ctx, d_z, ctx.constant({2, 3}, 4), indices, targets, l1, ctx.of({3}, {5, 5, 20}));
  check_close("gradient", d_z, {5.5, 1, 7, 1, 5, 1});
  scale_within(ctx, l1, 3, 0, 0.2);
  CHECK(get(l1, 0) == 0.2);
  scale_within(ctx, l1, 0.01, 0.05, 1);
  CHECK(get(l1, 0) == 0.05);
}

TEST_CASE("logits of two levels: their softmax is the product; gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const auto& [experts, groups] : {std::pair{5, 2}, std::pair{6, 3}, std::pair{4, 4}, std::pair{3, 1}}) {
    const Tensor outer = ctx.normal({3, groups}, 1), inner = ctx.normal({3, experts}, 2), z = ctx.output({3, experts});
    const Tensor weights = ctx.normal({3, experts}, 3), d_outer = ctx.output(outer.shape),
                 d_inner = ctx.output(z.shape);
    const auto loss = [&] {
      group_logits_forward(ctx, z, outer, inner);
      return dot(z, weights);
    };
    loss();
    const Tensor p = ctx.output(z.shape), lse = ctx.output({3}), q = ctx.output(outer.shape),
                 lse_outer = ctx.output({3});
    softmax_forward(ctx, p, lse, z);
    softmax_forward(ctx, q, lse_outer, outer);
    check_close("logsumexp", lse, lse_outer);
    for (int64_t g = 0; g < groups; ++g) {
      double sum = 0;
      for (int64_t e = g * experts / groups; e < (g + 1) * experts / groups; ++e) sum += get(p, e);
      CHECK(sum == Approx(get(q, g)));
    }
    group_logits_backward(ctx, d_outer, d_inner, weights, inner);
    check_gradients(loss, {{"outer", outer, d_outer}, {"inner", inner, d_inner, experts == groups}});
  }
  const Tensor indices = ctx.output({1, 4}, DType::i32);
  select_within_groups(ctx, indices, ctx.of_i32({1, 2}, {1, 0}), ctx.of({1, 6}, {1, NAN, 3, 5, 5, 2}), 2, 2);
  check_close("choices within groups", indices, {3, 4, 2, 0}, {});
  CHECK_THROWS_AS(select_within_groups(ctx, indices, ctx.of_i32({1, 2}, {1, 0}), ctx.zeros({1, 3}), 2, 2),
                  InternalError);
}

TEST_CASE("experts choose tokens: ties go to the earlier one, NaN is last") {
  TestContext ctx;
  const Tensor p = ctx.of({4, 2}, {0.5, 0.1, 0.5, NAN, 0.2, 0.3, 0.9, 0.3}), w = ctx.output({4, 2});
  const Tensor indices = ctx.output({4, 2}, DType::i32);
  expert_choice(ctx, indices, w, p, {1, 4, 0, 1}, 2);
  check_close("indices", indices, {0, -1, -1, -1, -1, 1, 0, 1}, {});
  check_close("weights", w, {0.5, 0, 0, 0, 0, 0.3, 0.9, 0.3}, {1e-6, 0});
  expert_choice(ctx, indices, w, p, {2, 2, 1, 2}, 1);  // tokens 0 and 2, tokens 1 and 3
  check_close("in groups with a stride", indices, {0, -1, -1, -1, -1, 1, 0, 1}, {});
  expert_choice(ctx, indices, w, p, {1, 4, 0, 1}, 4);
  check_close("all", indices, {0, 1, 0, 1, 0, 1, 0, 1}, {});
  CHECK_THROWS_AS(expert_choice(ctx, indices, w, p, {1, 4, 0, 1}, 5), InternalError);
  CHECK_THROWS_AS(expert_choice(ctx, indices, w, p, {1, 3, 0, 1}, 1), InternalError);
  expert_choice(ctx, ctx.output({0, 2}, DType::i32), ctx.output({0, 2}), ctx.zeros({0, 2}), {0, 4, 4, 1}, 1);
}

TEMPLATE_TEST_CASE("Sinkhorn's scores make columns equal for logits of any size", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const double size : {1.0, 30.0}) {
    const Tensor z = ctx.normal({31, 5}, 1, size), scores = ctx.output(z.shape), p = ctx.output(z.shape),
                 lse = ctx.output({31});
    for (int64_t t = 0; t < 31; ++t) set(z, 5 * t + 2, get(z, 5 * t + 2) + 100);
    sinkhorn_scores(ctx, scores, z, {1, 31, 0, 1}, 300);
    softmax_forward(ctx, p, lse, scores);
    for (int64_t e = 0; e < 5; ++e) {
      double sum = 0;
      for (int64_t t = 0; t < 31; ++t) sum += get(p, 5 * t + e);
      CHECK(sum == Approx(31.0 / 5).epsilon(0.05));
    }
    sinkhorn_scores(ctx, scores, z, {31, 1, 1, 1}, 3);
    check_same_bits("a token alone", scores, z);
  }
  const Tensor z = ctx.constant({4, 2}, -INFINITY), scores = ctx.output(z.shape);
  for (int64_t t = 0; t < 4; ++t) set(z, 2 * t, 1e30);
  sinkhorn_scores(ctx, scores, z, {1, 4, 0, 1}, 5);
  for (const double s : values(scores)) CHECK_FALSE(std::isnan(s));
}

TEST_CASE("hash choices are distinct, valid and reproducible") {
  TestContext ctx;
  const RandomKey key{.seed = 1, .purpose = RandomPurpose::test};
  for (const auto& [experts, k] : {std::pair{1, 1}, std::pair{33, 3}, std::pair{5, 5}}) {
    const Tensor ids = ctx.random_i32({257}, 50, 1), indices = ctx.output({257, k}, DType::i32);
    hash_choice(ctx, indices, ids, experts, key);
    const Tensor again = ctx.output({257, k}, DType::i32);
    hash_choice(ctx, again, ids, experts, key);
    check_same_bits("again", again, indices);
    for (int64_t t = 0; t < 257; ++t) {
      const int32_t* chosen = host_data<int32_t>(indices) + t * k;
      CHECK(std::set<int32_t>(chosen, chosen + k).size() == static_cast<size_t>(k));
      CHECK((*std::min_element(chosen, chosen + k) >= 0 && *std::max_element(chosen, chosen + k) < experts));
    }
  }
}

TEST_CASE("the smooth load is the share of choices under re-drawn noise; gradients", "[cpu]") {
  TestContext ctx(DType::f64), wide(DType::f64);
  const int64_t tokens = 3, n = 4;
  const Tensor targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1}), gradient = wide.normal({n}, 5);
  const Tensor noise = ctx.normal({tokens, n}, 3);
  for (const int64_t k : {1, 2, 4}) {
    INFO("k " << k);
    const Tensor noisy = ctx.normal({tokens, n}, 1), sigma = ctx.output({tokens, n}), clean = ctx.output({tokens, n});
    for (int64_t i = 0; i < tokens * n; ++i) set(sigma, i, 0.5 + 0.1 * static_cast<double>(i % 5));
    const Tensor indices = ctx.output({tokens, k}, DType::i32), sums = wide.output({n});
    const auto loss = [&] {
      for (int64_t i = 0; i < tokens * n; ++i) set(clean, i, get(noisy, i) - get(sigma, i) * get(noise, i));
      select_top_k(ctx, indices, noisy, k);
      for (int64_t e = 0; e < n; ++e) set(sums, e, 0);
      smooth_load_sums(ctx, sums, clean, noisy, sigma, indices, targets);
      return dot(sums, gradient);
    };
    loss();
    // By hand for the first expert of the first token.
    std::vector<double> others{get(noisy, 1), get(noisy, 2), get(noisy, 3)};
    std::sort(others.rbegin(), others.rend());
    for (int64_t e = 0; e < n; ++e) set(sums, e, 0);
    smooth_load_sums(ctx, sums, clean.slice(0, 1), noisy.slice(0, 1), sigma.slice(0, 1), indices.slice(0, 1),
                     targets.slice(0, 1));
    const double expected =
        k == 4 ? 1 : 0.5 * std::erfc(-(get(clean, 0) - others[as_index(k - 1)]) / get(sigma, 0) / std::sqrt(2));
    CHECK(get(sums, 0) == Approx(expected));
    const Tensor d_noisy = ctx.zeros({tokens, n}), d_sigma = ctx.zeros({tokens, n});
    smooth_load_backward(ctx, d_noisy, d_sigma, clean, noisy, sigma, indices, gradient, targets);
    check_gradients(loss, {{"noisy", noisy, d_noisy, k == 4}, {"deviation", sigma, d_sigma, k == 4}});
  }
  const Tensor zero = ctx.zeros({1, 2}), sums = wide.constant({2}, 0);
  smooth_load_sums(ctx, sums, zero, zero, zero, ctx.of_i32({1, 1}, {0}), targets.slice(0, 1));
  check_close("without deviation", sums, {0.5, 0.5});
  CHECK_THROWS_AS(
      smooth_load_sums(ctx, sums, zero, ctx.zeros({1, 3}), zero, ctx.of_i32({1, 1}, {0}), targets.slice(0, 1)),
      InternalError);
}

TEST_CASE("sums of experts' outputs for any width, forward and backward", "[cpu]") {
  TestContext ctx, wide(DType::f64);
  for (const int64_t d : {1, 8, 33}) {
    const Tensor rows = ctx.normal({4, d}, 1), position = ctx.of_i32({3, 2}, {3, 0, 1, -1, 2, -1}),
                 indices = ctx.of_i32({3, 2}, {2, 0, 1, -1, 2, -1}), targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1});
    const Tensor sums = wide.constant({3, d}, 1), d_rows = ctx.constant({4, d}, 1), gradient = wide.normal({3, d}, 2);
    expert_output_sums(ctx, sums, rows, position, indices, targets);
    expert_output_sums_backward(ctx, d_rows, gradient, position, indices, targets);
    for (int64_t i = 0; i < d; ++i) {
      CHECK(get(sums, i) == Approx(1 + get(rows, i)));
      CHECK(get(sums, d + i) == 1);
      CHECK(get(sums, 2 * d + i) == Approx(1 + get(rows, 3 * d + i) + get(rows, 2 * d + i)));
      CHECK(get(d_rows, i) == Approx(1 + get(gradient, i)));
      CHECK(get(d_rows, d + i) == 1);
      CHECK(get(d_rows, 3 * d + i) == Approx(1 + get(gradient, 2 * d + i)));
    }
  }
}

}  // namespace moe::test
