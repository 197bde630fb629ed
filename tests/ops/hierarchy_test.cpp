#include "core/ops/hierarchy.h"

#include <cmath>

#include "core/base/token.h"
#include "core/ops/gating.h"
#include "core/ops/softmax.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

// A choice of k by softmax, with the memory to recompute it.
struct Gates {
  Tensor logits, probabilities, logsumexp, indices, weights, skip;
  Gates(TestContext& ctx, int64_t tokens, int64_t n, int64_t k, uint32_t stream)
      : logits(ctx.normal({tokens, n}, stream)),
        probabilities(ctx.output({tokens, n})),
        logsumexp(ctx.output({tokens})),
        indices(ctx.output({tokens, k}, DType::i32)),
        weights(ctx.output({tokens, k})) {}
  GroupChoice run(TestContext& ctx) const {
    gating_forward(ctx, probabilities, logsumexp, indices, weights, logits, {false, false});
    return {logits, logsumexp, indices, weights, skip};
  }
};

}  // namespace

TEST_CASE("two levels of choice, hand-computed") {
  TestContext ctx(DType::f64);
  const auto ln = [](double x) { return std::log(x); };
  const GroupChoice groups{ctx.of({1, 2}, {ln(1), ln(3)}),
                           ctx.of({1}, {ln(4)}),
                           ctx.of_i32({1, 2}, {1, -1}),
                           ctx.of({1, 2}, {0.75, 0.25}),
                           {}};
  const GroupChoice first{ctx.of({1, 1}, {5}), ctx.of({1}, {5}), ctx.of_i32({1, 1}, {0}), ctx.of({1, 1}, {1}), {}};
  const GroupChoice second{ctx.of({1, 3}, {ln(1), ln(2), ln(7)}), ctx.of({1}, {ln(10)}), ctx.of_i32({1, 2}, {2, -1}),
                           ctx.of({1, 2}, {0.5, 9}), ctx.of({1}, {0.4})};
  const Tensor log_p = ctx.output({1, 4}), indices = ctx.output({1, 6}, DType::i32), weights = ctx.output({1, 6}),
               skip = ctx.zeros({1});
  compose_group(ctx, log_p, indices, weights, skip, 0, 0, groups, first);
  compose_group(ctx, log_p, indices, weights, skip, 1, 1, groups, second);
  check_close("log probabilities", log_p, {ln(0.25), ln(0.75 * 0.1), ln(0.75 * 0.2), ln(0.75 * 0.7)});
  check_close("indices", indices, {3, -1, -1, -1, -1, -1}, {});
  check_close("weights", weights, {0.375, 0, 0, 0, 0, 0});
  check_close("skip", skip, {0.3});

  const Tensor inside = ctx.output({1}, DType::i32);
  targets_in_group(ctx, inside, ctx.of_i32({1}, {7}), groups.indices, 1);
  check_close("inside", inside, {7}, {});
  targets_in_group(ctx, inside, ctx.of_i32({1}, {7}), groups.indices, 0);
  check_close("outside", inside, {kIgnoreTarget}, {});
}

TEST_CASE("gradients of two levels of choice, with groups of different sizes", "[cpu]") {
  TestContext ctx(DType::f64);
  const int64_t tokens = 6;
  const Gates groups(ctx, tokens, 3, 2, 1);
  std::vector<Gates> inner;
  const std::vector<int64_t> sizes = {3, 2, 2}, firsts = {0, 3, 5};
  for (size_t g = 0; g < 3; ++g) {
    inner.emplace_back(ctx, tokens, sizes[g], 2, static_cast<uint32_t>(g) + 10);
    inner[g].skip = ctx.normal({tokens}, static_cast<uint32_t>(g) + 20);
  }
  const Tensor log_p = ctx.output({tokens, 7}), indices = ctx.output({tokens, 4}, DType::i32),
               weights = ctx.output({tokens, 4}), skip = ctx.output({tokens});
  const Tensor d_log_p = ctx.normal(log_p.shape, 3), d_weights = ctx.normal(weights.shape, 4),
               d_skip = ctx.normal({tokens}, 5);
  const auto loss = [&] {
    const GroupChoice top = groups.run(ctx);
    for (int64_t t = 0; t < tokens; ++t) set(skip, t, 0);
    for (size_t g = 0; g < 3; ++g) {
      compose_group(ctx, log_p, indices, weights, skip, static_cast<int64_t>(g), firsts[g], top, inner[g].run(ctx));
    }
    return dot(log_p, d_log_p) + dot(weights, d_weights) + dot(skip, d_skip);
  };
  loss();
  const Tensor d_groups = ctx.zeros(groups.logits.shape), d_group_log_p = ctx.zeros(groups.logits.shape),
               d_group_weights = ctx.zeros(groups.weights.shape);
  std::vector<Tensor> d_inner, d_inner_skip;
  for (size_t g = 0; g < 3; ++g) {
    d_inner.push_back(ctx.zeros(inner[g].logits.shape));
    d_inner_skip.push_back(ctx.output({tokens}));
    const Tensor d_inner_weights = ctx.output(inner[g].weights.shape);
    compose_group_backward(ctx, d_inner[g], d_inner_weights, d_inner_skip[g], d_group_log_p, d_group_weights, d_log_p,
                           d_weights, d_skip, static_cast<int64_t>(g), firsts[g], groups.run(ctx), inner[g].run(ctx));
    gating_backward(ctx, d_inner[g], d_inner_weights, inner[g].probabilities, inner[g].indices, inner[g].weights,
                    {false, false});
  }
  log_softmax_backward(ctx, d_groups, d_group_log_p, groups.logits, groups.logsumexp);
  gating_backward(ctx, d_groups, d_group_weights, groups.probabilities, groups.indices, groups.weights, {false, false});
  std::vector<Differentiable> tensors = {{"groups", groups.logits, d_groups}};
  for (size_t g = 0; g < 3; ++g) {
    tensors.push_back({fmt::format("inner {}", g), inner[g].logits, d_inner[g]});
    tensors.push_back({fmt::format("skip {}", g), inner[g].skip, d_inner_skip[g]});
  }
  check_gradients(loss, tensors, {.step = 2e-5});
}

}  // namespace moe::test
