#include "core/ops/row_gate.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("two hand-computed rows are scaled by their gates and added") {
  TestContext ctx;
  const Tensor y = ctx.of({2, 2}, {1, 1, 2, 2}), gates = ctx.output({2});
  row_gate_forward(ctx, y, gates, ctx.of({2, 2}, {1, 2, 4, 8}),
                   ctx.of({2, 1}, {0, static_cast<double>(std::log(3.0f))}));
  check_close("gates", gates, {0.5, 0.75});
  check_close("y", y, {1.5, 2, 5, 8});
}

TEST_CASE("row gates equal the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t d : {1, 31, 32, 33, 257, 264}) {
      const Tensor x = ctx.normal({rows, d}, 1), y = ctx.normal({rows, d}, 2), logits = ctx.wide_normal({rows, 1}, 3),
                   gates = ctx.wide_output({rows});
      std::vector<double> expected = values(y), scales;
      for (int64_t r = 0; r < rows; ++r) {
        scales.push_back(1 / (1 + std::exp(-get(logits, r))));
        for (int64_t i = r * d; i < (r + 1) * d; ++i) expected[static_cast<size_t>(i)] += scales.back() * get(x, i);
      }
      row_gate_forward(ctx, y, gates, x, logits);
      check_close("gates", gates, scales);
      check_close("y", y, expected);
    }
  }
}

TEST_CASE("row gates backward equal the CPU's in f64") {
  TestContext ctx(GENERATE(from_range(device_dtypes())));
  Exact exact;
  for (const int64_t d : {1, 33, 264}) {
    const Tensor x = ctx.normal({35, d}, 1), y = ctx.zeros(x.shape), logits = ctx.wide_normal({35, 1}, 2),
                 gates = ctx.wide_output({35}), d_y = ctx.normal(x.shape, 3), d_x = ctx.output(x.shape),
                 d_logits = ctx.wide_output({35, 1});
    row_gate_forward(ctx, y, gates, x, logits);
    row_gate_backward(ctx, d_x, d_logits, d_y, x, gates);
    const Tensor y64 = exact.output(x.shape), gates64 = exact.output({35}), d_x64 = exact.output(x.shape),
                 d_logits64 = exact.output({35, 1});
    row_gate_forward(exact, y64, gates64, exact(x), exact(logits));
    row_gate_backward(exact, d_x64, d_logits64, exact(d_y), exact(x), gates64);
    check_close("d_x", d_x, d_x64, tolerance(ctx));
    check_close("d_logits", d_logits, d_logits64, {1e-5, 1e-5});
  }
}

TEST_CASE("row gate gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor x = ctx.normal({5, 4}, 1), logits = ctx.normal({5, 1}, 2), d_y = ctx.normal(x.shape, 3);
  const Tensor gates = ctx.output({5}), d_x = ctx.output(x.shape), d_logits = ctx.output({5, 1});
  const auto loss = [&] {
    const Tensor y = ctx.zeros(x.shape);
    row_gate_forward(ctx, y, gates, x, logits);
    return dot(y, d_y);
  };
  loss();
  row_gate_backward(ctx, d_x, d_logits, d_y, x, gates);
  check_gradients(loss, {{"x", x, d_x}, {"logits", logits, d_logits}});
}

TEST_CASE("row gates refuse invalid shapes") {
  TestContext ctx;
  const Tensor x = ctx.zeros({2, 3}), logits = ctx.zeros({2, 1}), gates = ctx.output({2});
  CHECK_THROWS_AS(row_gate_forward(ctx, ctx.output({2, 2}), gates, x, logits), InternalError);
  CHECK_THROWS_AS(row_gate_forward(ctx, x, gates, x, ctx.zeros({2})), InternalError);
  CHECK_THROWS_AS(row_gate_forward(ctx, x, ctx.output({3}), x, logits), InternalError);
  CHECK_THROWS_AS(row_gate_backward(ctx, x, logits, ctx.zeros({1, 3}), x, gates), InternalError);
  CHECK_THROWS_AS(row_gate_backward(ctx, x, gates, x, x, gates), InternalError);
}

}  // namespace moe::test
