#include "core/ops/sample_signals.h"

#include <cmath>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

static Tolerance close(const TestContext& ctx) {
  return ctx.dtype == DType::f64 ? Tolerance{1e-12, 1e-13} : Tolerance{1e-5, 1e-5};
}

TEST_CASE("router entropy of each token equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t tokens : {0, 1, 5}) {
    for (const int64_t experts : {1, 31, 32, 33, 257}) {
      const Tensor p = ctx.wide_constant({tokens, experts}, 0), sums = ctx.wide_constant({tokens}, 0.5);
      std::vector<double> expected(static_cast<size_t>(tokens), 0.5);
      for (int64_t t = 0; t < tokens; ++t) {
        double total = 0;
        for (int64_t e = 0; e < experts; ++e) total += 1.0 + static_cast<double>((e * 7 + t) % 5);
        for (int64_t e = 0; e < experts; ++e) {
          const double share = (1.0 + static_cast<double>((e * 7 + t) % 5)) / total;
          set(p, t * experts + e, t == 3 ? e == 0 : share);  // one row is one-hot: 0 ln 0 is 0
          if (t != 3) expected[as_index(t)] -= share * std::log(share);
        }
      }
      add_router_entropy(ctx, sums, p);
      check_close("entropy", sums, expected, close(ctx));
    }
  }
}

TEST_CASE("the variance among a token's experts equals the reference at odd sizes") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 32, 33, 257}) {
    const Tensor rows = ctx.normal({6, d}, 1), sums = ctx.wide_constant({4}, 1);
    const Tensor position = ctx.of_i32({4, 3}, {0, 1, 2, -1, 3, -1, 4, -1, 5, -1, -1, -1});
    std::vector<double> expected(4, 1.0);
    for (const auto& [token, used] :
         std::vector<std::pair<size_t, std::vector<int64_t>>>{{0, {0, 1, 2}}, {2, {4, 5}}}) {
      for (int64_t i = 0; i < d; ++i) {
        double mean = 0, squares = 0;
        for (const int64_t r : used) mean += get(rows, r * d + i) / static_cast<double>(used.size());
        for (const int64_t r : used) squares += std::pow(get(rows, r * d + i) - mean, 2);
        expected[token] += squares / static_cast<double>(used.size()) / static_cast<double>(d);
      }
    }
    add_expert_variance(ctx, sums, rows, position);
    // The sums start at 1; tokens with one expert or none add nothing.
    check_close("variance", sums, expected, close(ctx));
  }
}

TEST_CASE("the signals of samples are means over their scored tokens") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t time : {1, 3, 9, 33}) {
    for (const bool all : {true, false}) {
      const int64_t sequences = 3, tokens = sequences * time, d = 37;
      const Tensor losses = ctx.wide_normal({tokens}, 1), entropy = ctx.wide_normal({tokens}, 2),
                   residual = ctx.wide_normal({tokens}, 3), hidden = ctx.normal({tokens, d}, 4),
                   routers = ctx.wide_normal({tokens}, 5), variance = ctx.wide_normal({tokens}, 6),
                   uncertainty = ctx.wide_normal({tokens}, 8);
      for (int64_t t = 0; t < tokens; ++t) set(losses, t, std::abs(get(losses, t)));
      const Tensor targets = ctx.random_i32({tokens}, 9, 7);
      for (int64_t t = 0; t < tokens; ++t) {  // the first sequence is padding; in the second every other token is
        if (t < time || (t < 2 * time && t % 2)) set(targets, t, kIgnoreTarget);
      }
      std::vector<double> expected(3 * kNumSignalColumns);
      for (int64_t s = 0; s < sequences; ++s) {
        double scored = 0;
        double* sums = expected.data() + s * kNumSignalColumns;
        for (int64_t t = s * time; t < (s + 1) * time; ++t) {
          if (host_data<int32_t>(targets)[t] == kIgnoreTarget) continue;
          scored += 1;
          sums[0] += get(losses, t);
          sums[1] += 1 - std::exp(-get(losses, t));
          if (!all) continue;
          double squares = 0;
          for (int64_t i = 0; i < d; ++i) squares += std::pow(get(hidden, t * d + i), 2);
          sums[2] += get(entropy, t);
          sums[3] += get(variance, t) / 4;
          sums[4] += std::pow(get(residual, t), 2) * squares;
          sums[5] += get(routers, t) / 4;
          sums[6] += get(uncertainty, t) / 4;
        }
        for (int i = 0; i < kNumSignalColumns; ++i) sums[i] = scored > 0 ? sums[i] / scored : 0;
        sums[4] = std::sqrt(sums[4]);
      }
      TokenSignals in{losses};
      if (all) in = {losses, entropy, residual, hidden, {routers, variance, uncertainty, 4}};
      const Tensor signals = ctx.wide_output({sequences, kNumSignalColumns});
      sample_signals(ctx, signals, in, targets, time);
      check_close("signals", signals, expected, close(ctx));
    }
  }
}

TEST_CASE("signals refuse invalid arguments") {
  TestContext ctx;
  const Tensor losses = ctx.wide_zeros({6}), targets = ctx.of_i32({6}, {0, 0, 0, 0, 0, 0});
  CHECK_THROWS_AS(sample_signals(ctx, ctx.wide_output({2, kNumSignalColumns}), {losses}, targets, 2), InternalError);
  CHECK_THROWS_AS(sample_signals(ctx, ctx.wide_output({2, 5}), {losses}, targets, 3), InternalError);
  CHECK_THROWS_AS(sample_signals(ctx, ctx.wide_output({2, kNumSignalColumns}), {losses, losses, losses}, targets, 3),
                  InternalError);
  CHECK_THROWS_AS(add_expert_variance(ctx, losses, ctx.zeros({1, 2}), ctx.of_i32({2, 1}, {0, 0})), InternalError);
}

}  // namespace moe::test
