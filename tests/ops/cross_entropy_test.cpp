#include "core/ops/cross_entropy.h"

#include <cmath>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("cross-entropy of two hand-computed tokens") {
  TestContext ctx(DType::f64);
  const Tensor logits = ctx.of({2, 3}, {0, 0, std::log(2), 5, 5, 5});
  const Tensor targets = ctx.of_i32({2}, {2, 1}), losses = ctx.output({2}), correct = ctx.output({2}, DType::i32);
  cross_entropy(ctx, losses, correct, logits, targets, 2);
  check_close("losses", losses, {std::log(2), std::log(3)});
  check_close("correct: ties go to the smaller id", correct, {1, 0});
  const double third = 1.0 / 3;
  check_close("gradient", logits, {0.5, 0.5, -1, 2 * third, 2 * third - 2, 2 * third});
}

TEST_CASE("cross-entropy equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t tokens : {0, 1, 5}) {
    for (const int64_t vocab : {1, 31, 32, 33, 257}) {
      const Tensor logits = ctx.normal({tokens, vocab}, 1, 4), untouched = ctx.copy_of(logits);
      const Tensor targets = ctx.random_i32({tokens}, static_cast<int32_t>(vocab), 2);
      if (tokens > 1) set(targets, 1, kIgnoreTarget);
      const Tensor losses = ctx.wide_output({tokens}), correct = ctx.output({tokens}, DType::i32);
      std::vector<double> loss, hit, gradient;
      for (int64_t t = 0; t < tokens; ++t) {
        double sum = 0;
        int64_t best = 0;
        for (int64_t i = 0; i < vocab; ++i) {
          sum += std::exp(get(logits, t * vocab + i));
          if (get(logits, t * vocab + i) > get(logits, t * vocab + best)) best = i;
        }
        const int32_t target = host_data<int32_t>(targets)[t];
        const bool counts = target != kIgnoreTarget;
        loss.push_back(counts ? std::log(sum) - get(logits, t * vocab + target) : 0);
        hit.push_back(counts && target == best);
        for (int64_t i = 0; i < vocab; ++i) {
          gradient.push_back(counts ? 0.1 * (std::exp(get(logits, t * vocab + i)) / sum - (i == target)) : 0);
        }
      }
      const Tolerance tolerance = ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-13} : Tolerance{1e-6, 5e-6};
      cross_entropy(ctx, losses, {}, logits, targets, 0);
      check_close("losses without gradient", losses, loss, tolerance);
      check_same_bits("logits without gradient", logits, untouched);
      cross_entropy(ctx, losses, correct, logits, targets, 0.1);
      check_close("losses", losses, loss, tolerance);
      check_close("correct", correct, hit, {});
      check_close("gradient", logits, gradient,
                  {ctx.dtype == DType::bf16 ? 2e-2 : tolerance.relative, tolerance.absolute / 10});
    }
  }
}

TEST_CASE("cross-entropy's statistics equal the reference, and do not change other results") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t tokens : {0, 1, 5}) {
    for (const int64_t vocab : {1, 31, 32, 33, 257}) {
      const Tensor logits = ctx.normal({tokens, vocab}, 1, 4);
      const Tensor targets = ctx.random_i32({tokens}, static_cast<int32_t>(vocab), 2);
      if (tokens > 1) set(targets, 1, kIgnoreTarget);
      const Tensor losses = ctx.wide_output({tokens}), plain_losses = ctx.wide_output({tokens});
      std::vector<double> entropy, residual;
      for (int64_t t = 0; t < tokens; ++t) {
        const int32_t target = host_data<int32_t>(targets)[t];
        double sum = 0, h = 0, squares = 0;
        for (int64_t i = 0; i < vocab; ++i) sum += std::exp(get(logits, t * vocab + i));
        for (int64_t i = 0; i < vocab; ++i) {
          const double p = std::exp(get(logits, t * vocab + i)) / sum;
          h -= p * std::log(p);
          squares += std::pow(p - (i == target), 2);
        }
        entropy.push_back(target == kIgnoreTarget ? 0 : h);
        residual.push_back(target == kIgnoreTarget ? 0 : std::sqrt(squares));
      }
      const Tolerance tolerance = ctx.dtype == DType::f64 ? Tolerance{1e-11, 1e-12} : Tolerance{1e-5, 2e-4};
      for (const double scale : {0.0, 0.1}) {
        const Tensor z = ctx.copy_of(logits), other = ctx.copy_of(logits);
        const Tensor h = ctx.wide_output({tokens}), r = ctx.wide_output({tokens});
        cross_entropy(ctx, losses, {}, z, targets, scale, {.entropy = h, .residual = r});
        check_close("entropy", h, entropy, tolerance);
        check_close("residual", r, residual, tolerance);
        cross_entropy(ctx, plain_losses, {}, other, targets, scale);
        check_close("losses", losses, plain_losses, {1e-6, 1e-6});
        check_close("gradient", z, other, {1e-6, 1e-6});
      }
    }
  }
}

TEST_CASE("weights multiply only a token's gradient") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor logits = ctx.normal({4, 33}, 3), targets = ctx.of_i32({4}, {0, 32, kIgnoreTarget, 3});
  const Tensor weights = ctx.wide_constant({4}, 0), losses = ctx.wide_output({4}), plain_losses = ctx.wide_output({4});
  const std::vector<double> factors{2, 0.5, 3, 0};
  for (int64_t t = 0; t < 4; ++t) set(weights, t, factors[as_index(t)]);
  const Tensor weighted = ctx.copy_of(logits), plain = ctx.copy_of(logits);
  cross_entropy(ctx, losses, {}, weighted, targets, 0.5, {.weights = weights});
  cross_entropy(ctx, plain_losses, {}, plain, targets, 0.5);
  check_same_bits("losses", losses, plain_losses);
  std::vector<double> expected = values(plain);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] *= factors[i / 33];
  check_close("gradient", weighted, expected);
}

// (1 - smoothing) * -ln p(target) + smoothing * mean over all classes of -ln p
static double smoothed_loss(ConstTensor logits, int64_t row, int64_t target, double smoothing) {
  const int64_t vocab = logits.dim(1);
  double sum = 0, all = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(get(logits, row * vocab + i));
  for (int64_t i = 0; i < vocab; ++i) all += std::log(sum) - get(logits, row * vocab + i);
  return (1 - smoothing) * (std::log(sum) - get(logits, row * vocab + target)) +
         smoothing * all / static_cast<double>(vocab);
}

TEST_CASE("label smoothing: the gradient is that of the smoothed loss, the reported losses are plain", "[cpu]") {
  TestContext ctx(DType::f64);
  const std::vector<int32_t> wanted{0, 8, kIgnoreTarget, 3};
  const Tensor logits = ctx.normal({4, 9}, 3), targets = ctx.of_i32({4}, wanted), losses = ctx.output({4}),
               plain = ctx.output({4}), gradient = ctx.copy_of(logits), other = ctx.copy_of(logits),
               weights = ctx.of({4}, {2, 0.3, 1, 0.7});
  cross_entropy(ctx, losses, {}, gradient, targets, 0.5, {.weights = weights, .smoothing = 0.2});
  cross_entropy(ctx, plain, {}, other, targets, 0.5);
  check_same_bits("losses", losses, plain);
  const auto loss = [&] {
    double sum = 0;
    for (int64_t t = 0; t < 4; ++t) {
      if (wanted[as_index(t)] != kIgnoreTarget)
        sum += get(weights, t) * smoothed_loss(logits, t, wanted[as_index(t)], 0.2);
    }
    return 0.5 * sum;
  };
  check_gradients(loss, {{"logits", logits, gradient}}, {.samples = 36});
}

TEST_CASE("label smoothing changes the gradient equally on every device") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t vocab : {2, 10, 33, 264}) {
    const Tensor logits = ctx.normal({5, vocab}, 3), targets = ctx.random_i32({5}, static_cast<int32_t>(vocab), 4);
    set(targets, 3, kIgnoreTarget);
    const Tensor losses = ctx.wide_output({5}), plain = ctx.copy_of(logits), smoothed = ctx.copy_of(logits);
    cross_entropy(ctx, losses, {}, plain, targets, 0.5);
    cross_entropy(ctx, losses, {}, smoothed, targets, 0.5, {.smoothing = 0.2});
    std::vector<double> expected = values(plain);
    for (int64_t t = 0; t < 5; ++t) {
      if (t == 3) continue;
      for (int64_t i = 0; i < vocab; ++i) {
        expected[as_index(t * vocab + i)] +=
            0.5 * 0.2 * ((get(targets, t) == static_cast<double>(i)) - 1 / static_cast<double>(vocab));
      }
    }
    check_close("gradient", smoothed, expected);
  }
}

TEST_CASE("cross-entropy gradient", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor logits = ctx.normal({4, 9}, 3), targets = ctx.of_i32({4}, {0, 8, kIgnoreTarget, 3});
  const Tensor losses = ctx.output({4}), gradient = ctx.copy_of(logits);
  cross_entropy(ctx, losses, {}, gradient, targets, 0.5);
  const auto loss = [&] {
    cross_entropy(ctx, losses, {}, logits, targets, 0);
    double sum = 0;
    for (const double value : values(losses)) sum += value;
    return 0.5 * sum;
  };
  check_gradients(loss, {{"logits", logits, gradient}}, {.samples = 36});

  const Tensor weights = ctx.of({4}, {2, 0.3, 1, 0.7}), weighted = ctx.copy_of(logits);
  cross_entropy(ctx, losses, {}, weighted, targets, 0.5, {.weights = weights});
  const auto weighted_loss = [&] {
    cross_entropy(ctx, losses, {}, logits, targets, 0);
    return 0.5 * dot(losses, weights);
  };
  check_gradients(weighted_loss, {{"logits", logits, weighted}}, {.samples = 36});
}

TEST_CASE("cross-entropy is stable for large logits and propagates NaN") {
  TestContext ctx;
  const Tensor logits = ctx.of({3, 2}, {1e30, -1e30, -1e4, 1e4, NAN, 0}), losses = ctx.output({3});
  cross_entropy(ctx, losses, {}, logits, ctx.of_i32({3}, {0, 0, 1}), 1);
  CHECK(get(losses, 0) == 0);
  CHECK(get(losses, 1) == Approx(2e4));
  CHECK(std::isnan(get(losses, 2)));
  check_close("gradient", logits.slice(0, 2), {0, 0, -1, 1});
}

TEST_CASE("a batch of ignored targets has no loss and no gradient") {
  TestContext ctx;
  const Tensor logits = ctx.normal({3, 5}, 4), losses = ctx.output({3}), correct = ctx.output({3}, DType::i32);
  cross_entropy(ctx, losses, correct, logits, ctx.of_i32({3}, {-1, -1, -1}), 1);
  check_close("losses", losses, {0, 0, 0}, {});
  check_close("correct", correct, {0, 0, 0}, {});
  check_close("gradient", logits, std::vector<double>(15), {});
}

TEST_CASE("cross-entropy refuses shapes that do not fit") {
  TestContext ctx;
  const Tensor logits = ctx.zeros({2, 3}), targets = ctx.of_i32({2}, {0, 1});
  CHECK_THROWS_AS(cross_entropy(ctx, ctx.output({3}), {}, logits, targets, 0), InternalError);
  CHECK_THROWS_AS(cross_entropy(ctx, ctx.output({2}), {}, logits, ctx.of_i32({1}, {0}), 0), InternalError);
  CHECK_THROWS_AS(cross_entropy(ctx, ctx.output({2}), {}, logits, ctx.zeros({2}), 0), InternalError);
  const Tensor two = ctx.wide_output({2}), three = ctx.wide_output({3});
  CHECK_THROWS_AS(cross_entropy(ctx, two, {}, logits, targets, 0, {.entropy = two}), InternalError);
  CHECK_THROWS_AS(cross_entropy(ctx, two, {}, logits, targets, 0, {.entropy = two, .residual = three}), InternalError);
  CHECK_THROWS_AS(cross_entropy(ctx, two, {}, logits, targets, 0, {.weights = three}), InternalError);
  CHECK_THROWS_AS(cross_entropy(ctx, ctx.output({2}), ctx.output({1}, DType::i32), logits, targets, 0), InternalError);
}

}  // namespace moe::test
