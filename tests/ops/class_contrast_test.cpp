#include "core/ops/class_contrast.h"

#include <cmath>
#include <vector>

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

struct Contrast {
  Tensor losses, correct, statistics;
};

static Contrast contrast_of(TestContext& ctx, ConstTensor scores, ConstTensor queries, ConstTensor candidates) {
  const int64_t rows = scores.dim(0);
  Contrast c{ctx.output({rows}), ctx.output({rows}, DType::i32), ctx.output({rows, kContrastColumns})};
  class_contrast_forward(ctx, c.losses, c.correct, c.statistics, scores, queries, candidates);
  return c;
}

static Tensor transposed(TestContext& ctx, ConstTensor x) {
  std::vector<double> all;
  for (int64_t j = 0; j < x.dim(1); ++j) {
    for (int64_t i = 0; i < x.dim(0); ++i) all.push_back(get(x, i * x.dim(1) + j));
  }
  return ctx.of({x.dim(1), x.dim(0)}, all);
}

static double sum_of(ConstTensor x) {
  double sum = 0;
  for (const double value : values(x)) sum += value;
  return sum;
}

TEST_CASE("class contrast: all candidates of the class are hits, and none of them a negative") {
  TestContext ctx;
  const Tensor scores = ctx.of({3, 4}, {1, 2, 0.5, 9, 1, 2, 3, 9, 1, 1, 1, 1});
  const Tensor queries = ctx.of_i32({3}, {0, 1, kIgnoreTarget}), candidates = ctx.of_i32({4}, {0, 0, 1, kIgnoreTarget});
  const Contrast c = contrast_of(ctx, scores, queries, candidates);
  const double first = (std::log1p(std::exp(0.5 - 1)) + std::log1p(std::exp(0.5 - 2))) / 2;
  const double others = std::log(std::exp(1.0) + std::exp(2.0)), second = std::log1p(std::exp(others - 3));
  check_close("losses", c.losses, {first, second, 0});
  CHECK(values(c.correct) == std::vector<double>{1, 1, 0});
  // The other hit's score and ignored candidates have no effect on a hit's term.
  set(scores, 3, -5);
  CHECK(values(contrast_of(ctx, scores, queries, candidates).losses) == values(c.losses));
}

TEST_CASE("class contrast: a batch of one class has no negatives, no loss and no gradient") {
  TestContext ctx;
  const Tensor scores = ctx.normal({3, 3}, 1), classes = ctx.of_i32({3}, {4, 4, 4});
  const Contrast c = contrast_of(ctx, scores, classes, classes);
  CHECK(values(c.losses) == std::vector<double>{0, 0, 0});
  class_contrast_backward(ctx, scores, c.statistics, c.statistics, classes, classes, 1);
  for (const double gradient : values(scores)) CHECK(gradient == 0);
}

TEST_CASE("class contrast equals the reference at odd sizes") {
  TestContext ctx;
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {33, 257}, {130, 64}}) {
    const Tensor scores = ctx.normal({rows, n}, 1, 4), queries = ctx.random_i32({rows}, 3, 2),
                 candidates = ctx.random_i32({n}, 4, 3);
    if (n > 2) set(candidates, 1, kIgnoreTarget);
    if (rows > 2) set(queries, 2, kIgnoreTarget);
    const Contrast c = contrast_of(ctx, scores, queries, candidates);
    std::vector<double> losses;
    for (int64_t i = 0; i < rows; ++i) {
      const double own = get(queries, i);
      double sum = 0, loss = 0, hits = 0;
      for (int64_t j = 0; j < n; ++j) {
        if (get(candidates, j) != kIgnoreTarget && get(candidates, j) != own) sum += std::exp(get(scores, i * n + j));
      }
      for (int64_t j = 0; j < n; ++j) {
        if (own == kIgnoreTarget || get(candidates, j) != own) continue;
        loss += std::log1p(sum / std::exp(get(scores, i * n + j)));
        hits += 1;
      }
      losses.push_back(hits > 0 ? loss / hits : 0);
    }
    check_close("losses", c.losses, losses);
  }
}

TEST_CASE("class contrast: the gradient is that of both directions, with weights", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor scores = ctx.normal({7, 7}, 1, 3), classes = ctx.of_i32({7}, {0, 1, 1, 2, 0, kIgnoreTarget, 1});
  const std::vector<double> weights{1, 0.3, 2, 1, 1, 5, 0};
  const auto weighted = [&](ConstTensor losses, double extra) {
    double sum = 0;
    for (int64_t i = 0; i < 7; ++i) sum += extra * weights[static_cast<size_t>(i)] * get(losses, i);
    return sum;
  };
  const auto objective = [&] {
    return -2 * (weighted(contrast_of(ctx, scores, classes, classes).losses, 1) +
                 weighted(contrast_of(ctx, transposed(ctx, scores), classes, classes).losses, 1.5));
  };
  const auto statistics = [&](ConstTensor of, double extra) {
    const Tensor rows = contrast_of(ctx, of, classes, classes).statistics;
    for (int64_t i = 0; i < 7; ++i) {
      for (const int64_t column : {1, 2}) {
        const int64_t at = i * kContrastColumns + column;
        set(rows, at, extra * weights[static_cast<size_t>(i)] * get(rows, at));
      }
    }
    return rows;
  };
  const Tensor gradient = ctx.copy_of(scores);
  class_contrast_backward(ctx, gradient, statistics(scores, 1), statistics(transposed(ctx, scores), 1.5), classes,
                          classes, -2);
  check_gradients(objective, {{"scores", scores, gradient}});
}

TEST_CASE("class contrast: gradients equal the CPU's") {
  TestContext ctx, cpu(DType::f32, Device::cpu);
  const auto gradient = [&](TestContext& on) {
    const Tensor scores = on.normal({5, 9}, 1, 3), queries = on.random_i32({5}, 3, 2),
                 candidates = on.random_i32({9}, 3, 3);
    set(candidates, 4, kIgnoreTarget);
    const Tensor own = contrast_of(on, scores, queries, candidates).statistics,
                 other = contrast_of(on, transposed(on, scores), candidates, queries).statistics;
    class_contrast_backward(on, scores, own, other, queries, candidates, 0.7);
    return values(scores);
  };
  const std::vector<double> expected = gradient(cpu), actual = gradient(ctx);
  for (size_t i = 0; i < expected.size(); ++i) CHECK(actual[i] == Approx(expected[i]).epsilon(1e-5).margin(1e-6));
  CHECK(sum_of(cpu.of({static_cast<int64_t>(actual.size())}, actual)) != 0);
}

}  // namespace moe::test
