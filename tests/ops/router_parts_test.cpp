// The small ops that routers consist of: temperature, normalised rows, rows per sequence, parts of gating.
#include <algorithm>
#include <cmath>

#include "comm/communicator.h"
#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/ops/gating.h"
#include "core/ops/normalise_rows.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sequence_rows.h"
#include "core/ops/temperature.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("division by a temperature: values, floor, gradients, infinite logits", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.of({1, 4}, {1, -2, 4, -INFINITY}), tau = ctx.of({1}, {0.5});
  temperature_forward(ctx, z, tau, 1e-4);
  CHECK(values(z) == std::vector<double>{2, -4, 8, -INFINITY});
  const Tensor d_z = ctx.constant({1, 4}, 1), d_tau = ctx.constant({1}, 10);
  temperature_backward(ctx, d_z, d_tau, z, tau, 1e-4);
  CHECK(values(d_z) == std::vector<double>{2, 2, 2, 2});
  CHECK(get(d_tau, 0) == Approx(10 - 6 / 0.5));  // it is accumulated
  CHECK(temperature_value(ctx, ctx.of({1}, {-3}), 0.25) == 0.25);

  for (const int64_t n : {1, 31, 33, 257}) {
    const Tensor x = ctx.normal({2, n}, 1), t = ctx.of({1}, {0.7}), y = ctx.output({2, n}),
                 weights = ctx.normal({2, n}, 2);
    const Tensor d_x = ctx.copy_of(weights), d_t = ctx.zeros({1});
    const auto loss = [&] {
      const auto before = values(x);
      for (int64_t i = 0; i < x.size(); ++i) set(y, i, before[as_index(i)]);
      temperature_forward(ctx, y, t, 0.1);
      return dot(y, weights);
    };
    loss();
    temperature_backward(ctx, d_x, d_t, y, t, 0.1);
    check_gradients(loss, {{"logits", x, d_x}, {"temperature", t, d_t}});
  }
  CHECK_THROWS_AS(temperature_forward(ctx, z, ctx.zeros({2}), 1), InternalError);
  CHECK_THROWS_AS(temperature_backward(ctx, z, d_tau, ctx.zeros({4}), tau, 1), InternalError);
}

TEST_CASE("normalised rows: values and gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const int64_t d : {1, 31, 32, 33, 257}) {
    for (const double offset : {0.0, 1e-6, 0.3}) {
      const Tensor x = ctx.normal({3, d}, 1), y = ctx.output(x.shape), norms = ctx.output({3}),
                   w = ctx.normal(x.shape, 2);
      const Tensor d_x = ctx.constant(x.shape, 2);
      const auto loss = [&] {
        normalise_rows_forward(ctx, y, norms, x, offset);
        return dot(y, w);
      };
      loss();
      double squares = 0;
      for (int64_t i = 0; i < d; ++i) squares += get(x, i) * get(x, i);
      CHECK(get(norms, 0) == Approx(std::sqrt(squares)));
      CHECK(get(y, 0) == Approx(get(x, 0) / (std::sqrt(squares) + offset)));
      normalise_rows_backward(ctx, d_x, w, x, norms, offset);
      for (int64_t i = 0; i < d_x.size(); ++i) set(d_x, i, get(d_x, i) - 2);  // it is accumulated
      check_gradients(loss, {{"x", x, d_x, d == 1}});
    }
  }
  const Tensor zero = ctx.zeros({1, 4}), y = ctx.output({1, 4}), norm = ctx.output({1}), d_x = ctx.zeros({1, 4});
  normalise_rows_forward(ctx, y, norm, zero, 0.5);
  normalise_rows_backward(ctx, d_x, ctx.constant({1, 4}, 1), zero, norm, 0.5);
  check_close("of a row of zeros", y, {0, 0, 0, 0}, {});
  check_close("and its gradient", d_x, {2, 2, 2, 2});
  const Tensor none = ctx.zeros({1, 4});
  normalise_rows_forward(ctx, y, norm, zero, 0);
  normalise_rows_backward(ctx, none, ctx.constant({1, 4}, 1), zero, norm, 0);
  check_close("without an offset", y, {0, 0, 0, 0}, {});
  check_close("and its gradient", none, {0, 0, 0, 0}, {});
  CHECK_THROWS_AS(normalise_rows_forward(ctx, y, norm, zero, -1), InternalError);
  CHECK_THROWS_AS(normalise_rows_forward(ctx, ctx.output({2, 2}), norm, zero, 1), InternalError);
}

TEST_CASE("rows per sequence, and sums over its tokens") {
  TestContext ctx;
  const Tensor y = ctx.of({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  add_sequence_rows(ctx, y, ctx.of({2, 2}, {10, 20, 30, 40}));
  check_close("added", y, {11, 22, 13, 24, 35, 46, 37, 48}, {});
  const Tensor sums = ctx.output({2, 2});
  sum_sequence_rows(ctx, sums, y);
  check_close("sums", sums, {24, 46, 72, 94}, {});
  add_sequence_rows(ctx, ctx.zeros({0, 2}), ctx.zeros({0, 2}));
  sum_sequence_rows(ctx, ctx.output({0, 2}), ctx.zeros({0, 2}));
  CHECK_THROWS_AS(add_sequence_rows(ctx, y, ctx.zeros({3, 2})), InternalError);
  CHECK_THROWS_AS(sum_sequence_rows(ctx, ctx.zeros({2, 3}), y), InternalError);
  const Tensor ids = ctx.output({3}, DType::i32);
  clamp_ids(ctx, ids, ctx.of_i32({3}, {0, 4, 9}), 5);
  check_close("clamped", ids, {0, 4, 4}, {});
  clamp_ids(ctx, ids, {}, 5);
  check_close("none", ids, {0, 0, 0}, {});
  CHECK_THROWS_AS(clamp_ids(ctx, ids, ctx.of_i32({2}, {0, 1}), 5), InternalError);
}

TEMPLATE_TEST_CASE("the parts of gating together equal gating", "[ops]", float, double) {
  TestContext ctx(DTypeOf<TestType>::value);
  for (const int64_t experts : {1, 31, 33, 100}) {
    const int64_t k = std::min<int64_t>(3, experts), slots = k + 2;
    const Tensor logits = ctx.normal({7, experts}, 1, 2);
    for (const GatingOptions& options : {GatingOptions{true, true}, GatingOptions{false, false}}) {
      const Tensor p = ctx.output(logits.shape), lse = ctx.output({7}), indices = ctx.output({7, k}, DType::i32),
                   weights = ctx.output({7, k});
      gating_forward(ctx, p, lse, indices, weights, logits, options);
      const Tensor p2 = ctx.output(logits.shape), lse2 = ctx.output({7}), indices2 = ctx.output({7, slots}, DType::i32),
                   weights2 = ctx.output({7, slots});
      softmax_forward(ctx, p2, lse2, logits);
      select_top_k(ctx, indices2, logits, k);
      chosen_weights(ctx, weights2, p2, indices2, options);
      check_same_bits("probabilities", p2, p);
      check_same_bits("logsumexp", lse2, lse);
      const Tensor d_weights = ctx.normal({7, slots}, 3), d_narrow = ctx.output({7, k});
      for (int64_t t = 0; t < 7; ++t) {
        for (int64_t j = 0; j < slots; ++j) {
          CHECK(get(indices2, t * slots + j) == (j < k ? get(indices, t * k + j) : -1));
          CHECK(get(weights2, t * slots + j) == (j < k ? get(weights, t * k + j) : 0));
          if (j < k) set(d_narrow, t * k + j, get(d_weights, t * slots + j));
        }
      }
      const Tensor d_logits = ctx.zeros(logits.shape), d_logits2 = ctx.zeros(logits.shape);
      gating_backward(ctx, d_logits, d_narrow, p, indices, weights, options);
      gating_backward(ctx, d_logits2, d_weights, p2, indices2, weights2, options);
      check_close("gradient", d_logits2, d_logits);
    }
  }
  const Tensor vanished = ctx.output({1, 2});
  chosen_weights(ctx, vanished, ctx.of({1, 3}, {1, 0, 0}), ctx.of_i32({1, 2}, {1, 2}), {true, true});
  check_close("weights of vanished probabilities", vanished, {0.5, 0.5}, {});
  CHECK_THROWS_AS(select_top_k(ctx, vanished, ctx.zeros({1, 3}), 3), InternalError);
}

TEST_CASE("sums for balance losses exclude padding and empty slots") {
  TestContext ctx;
  const Tensor targets = ctx.of_i32({3}, {1, kIgnoreTarget, 1}), counts = ctx.constant({3}, 1, DType::f64);
  top1_counts(ctx, counts, ctx.of({3, 3}, {0.2, 0.4, 0.4, 1, 0, 0, 0.1, 0.1, 0.8}), targets);
  check_close("first choices, ties to the smaller index, added", counts, {1, 2, 2}, {});
  const Tensor indices = ctx.of_i32({3, 2}, {2, -1, 0, 1, 1, 0}), d_weights = ctx.constant({3, 2}, 5);
  CHECK(sum_from([&](Tensor sum) { count_assignments(ctx, sum, indices, targets); }) == 3);
  std::vector<double> gradient{10, 20, 30};
  weight_sum_backward(ctx, d_weights, indices, as_tensor(gradient), targets);
  check_close("gradient of weights", d_weights, {35, 5, 5, 5, 25, 15}, {});
}

}  // namespace moe::test
