#include "core/ops/policy.h"

#include <cmath>
#include <tuple>

#include "core/base/token.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

static const RandomKey kKey{.seed = 1, .purpose = RandomPurpose::test, .stream = 3};

TEST_CASE("Gumbel noise is a function of the global token, and -inf stays") {
  TestContext ctx;
  Exact exact;
  for (const int64_t n : {1, 31, 32, 33}) {
    const Tensor logits = ctx.normal({21, n}, 1), whole = ctx.output(logits.shape), parts = ctx.output(logits.shape);
    set(logits, 3, -INFINITY);
    gumbel_scores(ctx, whole, logits, kKey, 100);
    gumbel_scores(ctx, parts.slice(0, 8), logits.slice(0, 8), kKey, 100);
    gumbel_scores(ctx, parts.slice(8, 13), logits.slice(8, 13), kKey, 108);
    check_same_bits("two parts", parts, whole);
    CHECK(get(whole, 3) == -INFINITY);
    const Tensor expected = exact.output(logits.shape);
    gumbel_scores(exact, expected, exact(logits), kKey, 100);
    check_close("scores", whole, expected);
  }
  const Tensor many = ctx.output({500, 20});
  gumbel_scores(ctx, many, ctx.zeros(many.shape), kKey, 0);
  double sum = 0, squares = 0;
  for (const double g : values(many)) sum += g / 10'000, squares += g * g / 10'000;
  CHECK(sum == Approx(0.5772).margin(0.05));
  CHECK(squares - sum * sum == Approx(1.645).margin(0.1));
}

namespace {

// Tokens with draws, of which every prediction's loss belongs to `tokens_of_loss`.
struct Case {
  Tensor logits, indices, learned, moments, targets, losses, predicted, weights;

  Case(TestContext& ctx, int64_t tokens, int64_t experts, int64_t k, int64_t per_loss)
      : logits(ctx.normal({tokens, experts}, 1, 2)),
        indices(ctx.output({tokens, k + 1}, DType::i32)),
        learned(ctx.normal({tokens, 1}, 2)),
        moments(ctx.of({3}, {0.6, 0.9, 0.5})),
        targets(ctx.constant({tokens}, 1, DType::i32)),
        losses(ctx.normal({tokens / per_loss}, 3)),
        predicted(ctx.constant({tokens / per_loss}, 1, DType::i32)),
        weights(ctx.normal({tokens / per_loss}, 4)) {
    const Tensor scores = ctx.output(logits.shape);
    if (experts > 2) set(logits, 1, -INFINITY);
    gumbel_scores(ctx, scores, logits, kKey, 0);
    select_top_k(ctx, indices, scores, k);
  }
};

}  // namespace

TEST_CASE("the policy's gradients and terms equal the CPU's in f64") {
  for (const auto& [tokens, experts, k, per_loss] :
       {std::tuple{12, 1, 1, 1}, {12, 5, 2, 1}, {12, 33, 3, 4}, {36, 100, 8, 12}, {12, 300, 1, 2}}) {
    INFO(tokens << " tokens, " << experts << " experts, k = " << k << ", a loss for " << per_loss);
    TestContext ctx;
    Exact exact;
    Case c(ctx, tokens, experts, k, per_loss);
    set(c.targets, 3, kIgnoreTarget);
    if (tokens / per_loss > 1) set(c.predicted, 1, kIgnoreTarget);
    for (const bool weighted : {false, true}) {
      const Shape logits{tokens, experts}, column{tokens, 1}, all{tokens, kPolicyTerms};
      const Tensor d_logits = ctx.normal(logits, 9), d_learned = ctx.output(column), terms = ctx.output(all),
                   d_logits64 = exact(d_logits), d_learned64 = exact.output(column), terms64 = exact.output(all);
      const PredictionLosses losses{.losses = c.losses,
                                    .targets = c.predicted,
                                    .tokens = per_loss,
                                    .weights = weighted ? c.weights : Tensor{},
                                    .tokens_of_weight = per_loss},
          losses64{.losses = exact(c.losses),
                   .targets = exact(c.predicted),
                   .tokens = per_loss,
                   .weights = weighted ? exact(c.weights) : Tensor{},
                   .tokens_of_weight = per_loss};
      policy_backward(ctx, d_logits, d_learned, terms, {c.logits, c.indices, c.learned, c.moments, c.targets, losses},
                      {0.3, 0.7});
      policy_backward(
          exact, d_logits64, d_learned64, terms64,
          {exact(c.logits), exact(c.indices), exact(c.learned), exact(c.moments), exact(c.targets), losses64},
          {0.3, 0.7});
      check_close("d_logits", d_logits, d_logits64);
      check_close("d_learned", d_learned, d_learned64);
      check_close("terms", terms, terms64, {1e-5, 1e-5});
      for (int64_t i = 0; i < kPolicyTerms; ++i) CHECK(get(terms, 3 * kPolicyTerms + i) == 0);
    }
  }
}

TEST_CASE("policy gradients are those of -A ln p(choice) with the advantage held constant", "[cpu]") {
  TestContext ctx(DType::f64);
  Case c(ctx, 6, 7, 3, 1);
  set(c.targets, 2, kIgnoreTarget);
  set(c.predicted, 4, kIgnoreTarget);
  const PredictionLosses losses{.losses = c.losses, .targets = c.predicted, .weights = c.weights};
  const PolicyInput input{c.logits, c.indices, c.learned, c.moments, c.targets, losses};
  const Tensor d_logits = ctx.zeros({6, 7}), d_learned = ctx.output({6, 1}), terms = ctx.output({6, kPolicyTerms}),
               unused = ctx.output({6, 7});
  policy_backward(ctx, d_logits, d_learned, terms, input, {0.3, 0.7});
  const auto sum = [&](PolicyTerm term) {
    const Tensor own = ctx.output(terms.shape), d = ctx.output(d_learned.shape);
    fill_zero(ctx, unused);
    policy_backward(ctx, unused, d, own, input, {1, 1});
    double total = 0;
    for (int64_t t = 0; t < 6; ++t) total += get(own, t * kPolicyTerms + term);
    return total;
  };
  set(c.logits, 1, -20);  // the masked expert has no difference quotient
  set(d_logits, 1, 0);
  fill_zero(ctx, d_logits);
  policy_backward(ctx, d_logits, d_learned, terms, input, {0.3, 0.7});
  check_gradients([&] { return 0.3 * sum(kPolicyLoss); }, {{"logits", c.logits, d_logits}});
  check_gradients([&] { return 0.7 * sum(kBaselineError); }, {{"learned", c.learned, d_learned}});
  // By hand: one token, one draw.
  const double mean = 0.6 / 0.5, advantage = mean + get(c.learned, 0) - get(c.losses, 0);
  CHECK(get(terms, kBaselineError) == Approx(advantage * advantage));
  CHECK(get(terms, kTokenLoss) == get(c.losses, 0));
  CHECK(get(terms, kJudgedToken) == 1);
}

TEST_CASE("without a mean of earlier losses there is no advantage") {
  TestContext ctx;
  Case c(ctx, 4, 5, 2, 1);
  const PredictionLosses losses{.losses = c.losses, .targets = c.predicted};
  const Tensor d_logits = ctx.zeros({4, 5}), d_learned = ctx.output({4, 1}), terms = ctx.output({4, kPolicyTerms});
  policy_backward(ctx, d_logits, d_learned, terms, {c.logits, c.indices, c.learned, ctx.zeros({3}), c.targets, losses},
                  {1, 1});
  for (const double d : values(d_logits)) CHECK(d == 0);
  for (const double d : values(d_learned)) CHECK(d == 0);
  CHECK(get(terms, kTokenLoss) == get(c.losses, 0));
}

}  // namespace moe::test
