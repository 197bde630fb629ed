#include "core/ops/gating.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

struct Gates {
  Tensor probabilities, logsumexp, indices, weights;
};

Gates run_gating(TestContext& ctx, ConstTensor logits, int64_t k, GatingOptions options) {
  const int64_t tokens = logits.dim(0);
  const Gates g{ctx.output(logits.shape), ctx.output({tokens}), ctx.output({tokens, k}, DType::i32),
                ctx.output({tokens, k})};
  gating_forward(ctx, g.probabilities, g.logsumexp, g.indices, g.weights, logits, options);
  return g;
}

constexpr GatingOptions kOptions[] = {{true, true}, {true, false}, {false, true}, {false, false}};

}  // namespace

TEST_CASE("gating of a hand-computed token") {
  TestContext ctx(DType::f64);
  const Tensor logits = ctx.of({1, 4}, {std::log(1), std::log(4), std::log(2), std::log(3)});
  const Gates all = run_gating(ctx, logits, 2, {false, false});
  check_close("probabilities", all.probabilities, {0.1, 0.4, 0.2, 0.3});
  check_close("logsumexp", all.logsumexp, {std::log(10)});
  check_close("indices", all.indices, {1, 3}, {});
  check_close("weights over all", all.weights, {0.4, 0.3});
  check_close("weights over the chosen", run_gating(ctx, logits, 2, {true, true}).weights, {4.0 / 7, 3.0 / 7});
  check_close("renormalised weights", run_gating(ctx, logits, 2, {false, true}).weights, {4.0 / 7, 3.0 / 7});
}

TEST_CASE("an expert at -inf is never chosen, and NaN is chosen after all others") {
  TestContext ctx(wide(GENERATE(from_range(tested_dtypes()))));
  constexpr double kOut = -INFINITY;
  const Tensor scores = ctx.of({3, 4}, {kOut, 2, kOut, 1, kOut, NAN, 3, kOut, 1, NAN, 2, 3});
  for (const int64_t active : {2, 3, 4}) {
    const Tensor indices = ctx.output({3, 4}, DType::i32);
    select_top_k(ctx, indices, scores, active);
    const double third = active > 2 ? 0 : -1, fourth = active > 3 ? 1 : -1;
    check_close("chosen", indices, {1, 3, -1, -1, 2, 1, -1, -1, 3, 2, third, fourth}, {});
  }
  const Gates gates = run_gating(ctx, scores.slice(0, 1), 3, {true, true});
  check_close("indices", gates.indices, {1, 3, -1}, {});
  CHECK(get(gates.weights, 0) + get(gates.weights, 1) == Approx(1));
  CHECK(get(gates.weights, 2) == 0);
}

TEST_CASE("gating equals the reference") {
  TestContext ctx(wide(GENERATE(from_range(tested_dtypes()))));
  for (const int64_t experts : {1, 2, 31, 33, 100}) {
    for (const int64_t k :
         std::set<int64_t>{1, std::min<int64_t>(2, experts), std::min<int64_t>(65, experts), experts}) {
      for (const int64_t tokens : {0, 1, 33}) {
        const Tensor logits = ctx.normal({tokens, experts}, 1, 2);
        for (int64_t i = 0; i < logits.size(); i += 3) set(logits, i, std::round(get(logits, i)));  // ties
        for (const GatingOptions& options : kOptions) {
          const Gates gates = run_gating(ctx, logits, k, options);
          std::vector<double> probabilities, logsumexp, indices, weights;
          for (int64_t t = 0; t < tokens; ++t) {
            const auto z = [&](int64_t e) { return get(logits, t * experts + e); };
            double sum = 0, chosen = 0;
            for (int64_t e = 0; e < experts; ++e) sum += std::exp(z(e));
            for (int64_t e = 0; e < experts; ++e) probabilities.push_back(std::exp(z(e)) / sum);
            logsumexp.push_back(std::log(sum));
            std::vector<int64_t> order(static_cast<size_t>(experts));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return z(a) > z(b); });
            for (int64_t j = 0; j < k; ++j) chosen += std::exp(z(order[as_index(j)])) / sum;
            for (int64_t j = 0; j < k; ++j) {
              indices.push_back(static_cast<double>(order[as_index(j)]));
              weights.push_back(std::exp(z(order[as_index(j)])) / sum /
                                (options.softmax_over_chosen || options.renormalise ? chosen : 1));
            }
          }
          INFO(experts << " experts, k " << k << ", over chosen " << options.softmax_over_chosen << ", renormalise "
                       << options.renormalise);
          check_close("probabilities", gates.probabilities, probabilities);
          check_close("logsumexp", gates.logsumexp, logsumexp, {1e-5, 1e-6});
          check_close("indices", gates.indices, indices, {});
          check_close("weights", gates.weights, weights);
        }
      }
    }
  }
}

TEST_CASE("equal logits choose the smaller index") {
  TestContext ctx;
  const Gates gates = run_gating(ctx, ctx.constant({2, 5}, 7), 3, {});
  check_close("indices", gates.indices, {0, 1, 2, 0, 1, 2}, {});
}

TEST_CASE("broken logits never yield an invalid index, and NaN is chosen last") {
  TestContext ctx;
  const double inf = INFINITY;
  for (const int64_t k : {1, 3, 70, 100}) {  // above 64 the scores are not kept on the stack
    const Tensor logits = ctx.normal({4, 100}, 2);
    for (int64_t e = 0; e < 100; ++e) {
      set(logits, e, NAN);                            // only NaN
      if (e % 2 == 0) set(logits, 100 + e, NAN);      // half of them NaN
      set(logits, 200 + e, e % 3 == 0 ? NAN : -inf);  // NaN and the smallest number
      if (e == 50) set(logits, 300 + e, inf);
    }
    const Gates gates = run_gating(ctx, logits, k, {});
    for (int64_t t = 0; t < 4; ++t) {
      INFO("token " << t << ", k " << k);
      const int32_t* chosen = host_data<int32_t>(gates.indices) + t * k;
      const int64_t some = t == 2 ? std::min<int64_t>(k, 34) : k;  // number of logits that are not -inf
      CHECK(std::set<int32_t>(chosen, chosen + some).size() == static_cast<size_t>(some));
      CHECK(*std::min_element(chosen, chosen + some) >= 0);
      CHECK(*std::max_element(chosen, chosen + some) < 100);
      CHECK(std::count(chosen + some, chosen + k, -1) == k - some);
    }
    const int32_t* mixed = host_data<int32_t>(gates.indices) + k;
    const auto is_nan = [](int32_t e) { return e % 2 == 0; };
    CHECK(std::count_if(mixed, mixed + k, is_nan) == std::max<int64_t>(0, k - 50));
    CHECK(std::is_partitioned(mixed, mixed + k, [&](int32_t e) { return !is_nan(e); }));
    CHECK(host_data<int32_t>(gates.indices)[3 * k] == 50);
  }
}

TEST_CASE("gating gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  for (const auto& [experts, k] : {std::pair{5, 2}, std::pair{5, 5}, std::pair{4, 1}, std::pair{1, 1}}) {
    // Distinct logits, far enough apart for difference quotients.
    const Tensor logits = ctx.normal({3, experts}, 3, 0.02), d_logits = ctx.constant({3, experts}, 1);
    for (int64_t i = 0; i < logits.size(); ++i)
      set(logits, i, get(logits, i) + 0.3 * static_cast<double>(i * 7 % experts));
    for (const GatingOptions& options : kOptions) {
      const Gates gates = run_gating(ctx, logits, k, options);
      const Tensor d_weights = ctx.normal({3, k}, 4);
      for (int64_t i = 0; i < d_logits.size(); ++i) set(d_logits, i, 1);
      gating_backward(ctx, d_logits, d_weights, gates.probabilities, gates.indices, gates.weights, options);
      for (int64_t i = 0; i < d_logits.size(); ++i) set(d_logits, i, get(d_logits, i) - 1);  // it is accumulated
      const auto loss = [&] {
        gating_forward(ctx, gates.probabilities, gates.logsumexp, gates.indices, gates.weights, logits, options);
        return dot(gates.weights, d_weights);
      };
      const bool constant = (k == 1 && (options.softmax_over_chosen || options.renormalise)) || experts == 1;
      INFO(experts << " experts, k " << k);
      check_gradients(loss, {{"logits", logits, d_logits, constant}});
    }
  }
}

TEST_CASE("gating refuses invalid shapes") {
  TestContext ctx;
  const Tensor logits = ctx.zeros({2, 3});
  CHECK_THROWS_AS(run_gating(ctx, logits, 4, {}), InternalError);
  CHECK_THROWS_AS(run_gating(ctx, logits, 0, {}), InternalError);
  const Gates g = run_gating(ctx, logits, 2, {});
  CHECK_THROWS_AS(gating_forward(ctx, ctx.output({2, 2}), g.logsumexp, g.indices, g.weights, logits, {}),
                  InternalError);
  CHECK_THROWS_AS(gating_forward(ctx, g.probabilities, g.logsumexp, ctx.output({2, 2}), g.weights, logits, {}),
                  InternalError);
  CHECK_THROWS_AS(gating_backward(ctx, ctx.zeros({2, 3}), ctx.zeros({2, 1}), g.probabilities, g.indices, g.weights, {}),
                  InternalError);
  CHECK_THROWS_AS(
      gating_backward(ctx, ctx.zeros({2, 3}), ctx.zeros({2, 2}), g.probabilities, g.indices, ctx.zeros({1, 2}), {}),
      InternalError);
}

}  // namespace moe::test
