#include "core/ops/merge_gate.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("merging two hand-computed tokens") {
  TestContext ctx(DType::f64);
  const Tensor y = ctx.output({2, 2}), gates = ctx.output({2});
  merge_gate_forward(ctx, y, gates, ctx.of({2, 2}, {1, 2, 3, 4}), ctx.of({2, 2}, {5, 6, 7, 8}),
                     ctx.of({2, 1}, {-0.5, std::log(3) - 0.5}), ctx.of({1}, {0.5}));
  check_close("gates", gates, {0.5, 0.75});
  check_close("y", y, {3, 4, 4, 5});
}

TEMPLATE_TEST_CASE("merging equals the reference at odd sizes", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t tokens : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 257}) {
      const Tensor a = ctx.normal({tokens, d}, 1), b = ctx.normal({tokens, d}, 2), logits = ctx.normal({tokens, 1}, 3);
      const Tensor bias = ctx.of({1}, {0.3}), y = ctx.output(a.shape), gates = ctx.output({tokens});
      merge_gate_forward(ctx, y, gates, a, b, logits, bias);
      std::vector<double> want;
      for (int64_t i = 0; i < tokens * d; ++i) {
        const double g = 1 / (1 + std::exp(-get(logits, i / d) - get(bias, 0)));
        want.push_back(g * get(a, i) + (1 - g) * get(b, i));
      }
      check_close("y", y, want);
    }
  }
}

TEST_CASE("merge gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor a = ctx.normal({5, 4}, 1), b = ctx.normal({5, 4}, 2), logits = ctx.normal({5, 1}, 3),
               bias = ctx.of({1}, {0.3});
  const Tensor y = ctx.output(a.shape), gates = ctx.output({5}), d_y = ctx.normal(a.shape, 4);
  const Tensor d_a = ctx.output(a.shape), d_b = ctx.output(a.shape), d_logits = ctx.output({5, 1}),
               d_bias = ctx.zeros({1});
  const auto loss = [&] {
    merge_gate_forward(ctx, y, gates, a, b, logits, bias);
    return dot(y, d_y);
  };
  loss();
  merge_gate_backward(ctx, d_a, d_b, d_logits, d_bias, d_y, a, b, gates);
  check_gradients(loss, {{"a", a, d_a}, {"b", b, d_b}, {"logits", logits, d_logits}, {"bias", bias, d_bias}});
}

}  // namespace moe::test
