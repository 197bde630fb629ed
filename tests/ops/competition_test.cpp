#include "core/ops/competition.h"

#include <cmath>

#include "core/base/token.h"
#include "core/ops/gating.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/routing_tensors.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

constexpr Response kResponses[] = {Response::norm, Response::softplus};

// Probabilities (tokens, experts) from random logits.
Tensor some_probabilities(TestContext& ctx, ConstTensor logits) {
  const Tensor p = ctx.output(logits.shape);
  gating_forward(ctx, p, ctx.output({logits.dim(0)}), ctx.output({logits.dim(0), 1}, DType::i32),
                 ctx.output({logits.dim(0), 1}), logits, {});
  return p;
}

}  // namespace

TEST_CASE("responses of hand-computed rows") {
  TestContext ctx(DType::f64);
  const Tensor rows = ctx.of({3, 2}, {3, -4, 0, 0, 1000, -1000}), scores = ctx.output({3, 1});
  response_forward(ctx, scores, rows, Response::norm);
  check_close("norm", scores, {5, 0, 1000 * std::sqrt(2)});
  response_forward(ctx, scores, rows, Response::softplus);
  check_close("softplus", scores, {(std::log1p(std::exp(3)) + std::log1p(std::exp(-4))) / 2, std::log(2), 500});
}

TEMPLATE_TEST_CASE("responses equal the reference at odd sizes", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t n : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 33, 257}) {
      const Tensor rows = ctx.normal({n, d}, 1), scores = ctx.output({n, 1});
      std::vector<double> norms, means;
      for (int64_t r = 0; r < n; ++r) {
        double squares = 0, sum = 0;
        for (int64_t i = r * d; i < (r + 1) * d; ++i) {
          squares += get(rows, i) * get(rows, i);
          sum += std::log1p(std::exp(get(rows, i)));
        }
        norms.push_back(std::sqrt(squares));
        means.push_back(sum / static_cast<double>(d));
      }
      response_forward(ctx, scores, rows, Response::norm);
      check_close("norm", scores, norms);
      response_forward(ctx, scores, rows, Response::softplus);
      check_close("softplus", scores, means);
    }
  }
}

TEST_CASE("response gradients are accumulated, and a row of zeros has no gradient with the norm", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const Response response : kResponses) {
    const Tensor rows = ctx.normal({4, 7}, 1), d_scores = ctx.normal({4, 1}, 2), scores = ctx.output({4, 1});
    const Tensor d_rows = ctx.zeros({4, 7});
    const auto loss = [&] {
      response_forward(ctx, scores, rows, response);
      return dot(scores, d_scores);
    };
    loss();
    response_backward(ctx, d_rows, d_scores, scores, rows, response);
    check_gradients(loss, {{"rows", rows, d_rows}});
    std::vector<double> twice = values(d_rows);
    for (double& g : twice) g *= 2;
    loss();
    response_backward(ctx, d_rows, d_scores, scores, rows, response);
    check_close("added", d_rows, twice);
  }
  const Tensor zeros = ctx.zeros({1, 3}), score = ctx.output({1, 1}), d_zeros = ctx.zeros({1, 3});
  response_forward(ctx, score, zeros, Response::norm);
  response_backward(ctx, d_zeros, ctx.constant({1, 1}, 1), score, zeros, Response::norm);
  check_close("d_zeros", d_zeros, {0, 0, 0}, {});
}

TEST_CASE("shares of the chosen scores and their gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor hand = ctx.output({2, 2});
  share_weights_forward(ctx, hand, ctx.of({2, 3}, {1, 5, 3, 0, 7, 0}), ctx.of_i32({2, 2}, {2, 0, 0, 2}));
  check_close("shares, the second of nothing", hand, {0.75, 0.25, 0.5, 0.5});

  for (const int64_t k : {1, 2, 5}) {
    const Tensor scores = ctx.normal({6, 5}, 1), weights = ctx.output({6, k}), d_weights = ctx.normal({6, k}, 2);
    for (int64_t i = 0; i < scores.size(); ++i) set(scores, i, 0.2 + std::abs(get(scores, i)));
    const Tensor indices = some_choices(ctx, 6, 5, k), d_scores = ctx.zeros({6, 5});
    const auto loss = [&] {
      share_weights_forward(ctx, weights, scores, indices);
      return dot(weights, d_weights);
    };
    loss();
    share_weights_backward(ctx, d_scores, d_weights, scores, weights, indices);
    check_gradients(loss, {{"scores", scores, d_scores, k == 1}});
  }
}

TEST_CASE("values are scattered to the chosen experts and gathered from them") {
  TestContext ctx;
  const Tensor indices = ctx.of_i32({2, 2}, {3, 0, 1, -1}), all = ctx.output({2, 4}), back = ctx.output({2, 2});
  spread_chosen(ctx, all, ctx.of({2, 2}, {1, 2, 3, 9}), indices);
  check_close("all", all, {2, 0, 0, 1, 0, 3, 0, 0}, {});
  gather_chosen(ctx, back, all, indices);
  check_close("back", back, {1, 2, 3, 0}, {});
  const Tensor all_experts = ctx.output({2, 3}, DType::i32);
  choose_all(ctx, all_experts);
  check_close("all_experts", all_experts, {0, 1, 2, 0, 1, 2}, {});
}

TEST_CASE("distillation loss: hand-computed, without padding, and its gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  CHECK(sum_from([&](Tensor sum) {
          distillation_sum(ctx, sum, ctx.of({2, 2}, {0.5, 0.5, 0.1, 0.9}), ctx.of({2, 2}, {1, 0, 0, 0}),
                           ctx.of_i32({2, 1}, {0, 0}), 0.2, ctx.of_i32({2}, {1, kIgnoreTarget}));
        }) == Approx(0.25 + 0.2 * 0.25));

  const Tensor logits = ctx.normal({7, 5}, 1), q = some_probabilities(ctx, ctx.normal({7, 5}, 2));
  const Tensor indices = some_choices(ctx, 7, 5, 2), targets = ctx.of_i32({7}, {1, 2, kIgnoreTarget, 4, 5, 6, 7});
  const Tensor d_logits = ctx.zeros({7, 5}), d_q = ctx.zeros({7, 5});
  const auto loss = [&] {
    return 3 * sum_from([&](Tensor sum) {
             distillation_sum(ctx, sum, some_probabilities(ctx, logits), q, indices, 0.2, targets);
           });
  };
  distillation_backward(ctx, d_logits, d_q, some_probabilities(ctx, logits), q, indices, 0.2, 3, targets);
  check_gradients(loss, {{"logits", logits, d_logits}, {"q", q, d_q}});
  for (int64_t e = 0; e < 5; ++e) CHECK(get(d_logits, 2 * 5 + e) == 0);
}

TEST_CASE("similarity of outputs: hand-computed, without padding, and its gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  // Cosines of the pairs: 1, 0, 0; the mean over 3 x 3 counts each twice.
  const Tensor three = ctx.of({3, 2}, {1, 0, 2, 0, 0, 5});
  CHECK(sum_from([&](Tensor sum) {
          output_similarity_sum(ctx, sum, three, ctx.of_i32({1, 3}, {0, 1, 2}), ctx.of_i32({1}, {1}));
        }) == Approx(2.0 / 9));
  CHECK(sum_from([&](Tensor sum) {
          output_similarity_sum(ctx, sum, three, ctx.of_i32({1, 3}, {0, 1, 2}), ctx.of_i32({1}, {kIgnoreTarget}));
        }) == 0);
  CHECK(sum_from([&](Tensor sum) {
          output_similarity_sum(ctx, sum, ctx.zeros({2, 2}), ctx.of_i32({1, 2}, {0, 1}), ctx.of_i32({1}, {1}));
        }) == 0);

  CHECK(sum_from([&](Tensor sum) {
          output_similarity_sum(ctx, sum, three, ctx.of_i32({1, 3}, {0, -1, 2}), ctx.of_i32({1}, {1}));
        }) == 0);
  CHECK(sum_from([&](Tensor sum) {
          output_similarity_sum(ctx, sum, three, ctx.of_i32({1, 3}, {1, -1, 0}), ctx.of_i32({1}, {1}));
        }) == Approx(2.0 / 9));

  const Tensor rows = ctx.normal({9, 6}, 1), d_rows = ctx.zeros({9, 6});
  const Tensor position = ctx.of_i32({4, 3}, {0, 4, 8, 3, 1, 7, 6, 2, 5, -1, -1, -1}),
               targets = ctx.of_i32({4}, {1, kIgnoreTarget, 2, 3});
  set(position, 7, -1);
  output_similarity_backward(ctx, d_rows, rows, position, -2, targets);
  check_gradients(
      [&] { return -2 * sum_from([&](Tensor sum) { output_similarity_sum(ctx, sum, rows, position, targets); }); },
      {{"rows", rows, d_rows}});
}

TEST_CASE("top-k overlap counts common choices of tokens that are not padding") {
  TestContext ctx;
  const Tensor a = ctx.of_i32({4, 2}, {0, 1, 0, 1, 2, -1, -1, -1}),
               b = ctx.of_i32({4, 3}, {1, 0, 5, 3, 4, 0, 2, 1, 0, 1, 2, 3});
  CHECK(sum_from([&](Tensor sum) {
          topk_overlap_sum(ctx, sum, a, b, ctx.of_i32({4}, {1, 1, 1, 1}));
        }) == Approx(1 + 0.5 + 1 + 0));
  CHECK(sum_from([&](Tensor sum) {
          topk_overlap_sum(ctx, sum, a, b, ctx.of_i32({4}, {kIgnoreTarget, 1, 1, 1}));
        }) == Approx(0.5 + 1));
}

TEST_CASE("sums of competition do not depend on the threads", "[cpu]") {
  TestContext ctx;
  const Tensor p = some_probabilities(ctx, ctx.normal({301, 9}, 1)),
               q = some_probabilities(ctx, ctx.normal({301, 9}, 2));
  const Tensor indices = some_choices(ctx, 301, 9, 3), targets = ctx.constant({301}, 1, DType::i32);
  const auto sums = [&](int num_threads) {
    const ThreadCount threads(num_threads);
    return sum_from([&](Tensor sum) { distillation_sum(ctx, sum, p, q, indices, 0.3, targets); });
  };
  CHECK(sums(1) == sums(2));
  CHECK(sums(1) > 0);
}

}  // namespace moe::test
