// Ops that depend on sequence lengths: the result for a padded sequence equals that for the sequence alone.
#include <cmath>
#include <tuple>

#include "core/base/integer.h"
#include "core/ops/attention.h"
#include "core/ops/capacity.h"
#include "core/ops/class_token.h"
#include "core/ops/expert_choice.h"
#include "core/ops/feature_noise.h"
#include "core/ops/sinkhorn.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

constexpr int64_t kTime = 70;
const std::vector<int32_t> kLengths = {70, 1, 33, 64, 65, 0};
const auto kSequences = static_cast<int64_t>(kLengths.size());

// Calls visit(sequence, length) for sequences that are not empty.
template <class Visit>
void for_each_sequence(Visit visit) {
  for (int64_t s = 0; s < kSequences; ++s) {
    if (const int32_t length = kLengths[as_index(s)]; length > 0) visit(s, int64_t{length});
  }
}

// Padding rows hold arbitrary large values.
Tensor padded(TestContext& ctx, int64_t width, uint32_t stream, bool is_wide = false) {
  const Shape shape{kSequences * kTime, width};
  const Tensor x = is_wide ? ctx.wide_normal(shape, stream) : ctx.normal(shape, stream);
  for (int64_t t = 0; t < shape[0]; ++t) {
    if (t % kTime < kLengths[as_index(t / kTime)]) continue;
    set_all(x.slice(t, 1), 1e3);
  }
  return x;
}

TokenGroups groups_of(int64_t count, int64_t size, int64_t first, int64_t step, ConstTensor lengths) {
  return {count, size, first, step, lengths.as<int32_t>(), kTime};
}

}  // namespace

TEST_CASE("non-causal attention ignores padding, forward and backward", "[hopper]") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tolerance tolerance = ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : Tolerance{1e-5, 1e-5};
  for (AttentionLayout layout : {AttentionLayout{kTime, 2, 1, 8, false}, AttentionLayout{kTime, 4, 2, 33, false}}) {
    const Tensor lengths = ctx.of_i32({kSequences}, kLengths), qkv = padded(ctx, layout.width(), 1);
    const int64_t tokens = kSequences * kTime, wide_of = layout.heads * layout.d_head;
    const Tensor d_out = ctx.normal({tokens, wide_of}, 2);
    for (int64_t t = 0; t < tokens; ++t) {  // padding gets no gradient
      if (t % kTime < kLengths[as_index(t / kTime)]) continue;
      set_all(d_out.slice(t, 1), 0);
    }
    const auto both = [&](ConstTensor x, ConstTensor d, const AttentionLayout& l) {
      const Tensor out = ctx.output(d.shape), lse = ctx.wide_output({d.dim(0), l.heads}), d_x = ctx.output(x.shape);
      attention_forward(ctx, out, lse, x, l);
      attention_backward(ctx, d_x, d, x, out, lse, l);
      return std::pair(out, d_x);
    };
    layout.lengths = lengths.as<int32_t>();
    const auto results = both(qkv, d_out, layout);
    const Tensor &out = results.first, &d_qkv = results.second;  // bindings cannot be captured inside OpenMP's regions
    for_each_sequence([&](int64_t s, int64_t length) {
      AttentionLayout alone = layout;
      alone.time = length, alone.lengths = nullptr;
      const auto [want, d_want] =
          both(ctx.copy_of(qkv.slice(s * kTime, length)), ctx.copy_of(d_out.slice(s * kTime, length)), alone);
      check_close(fmt::format("out of {} tokens", length), out.slice(s * kTime, length), values(want), tolerance);
      check_close("d_qkv", d_qkv.slice(s * kTime, length), values(d_want), tolerance);
      for (int64_t i = (s * kTime + length) * layout.width(); i < (s + 1) * kTime * layout.width(); ++i) {
        REQUIRE(get(d_qkv, i) == 0);
      }
    });
  }
}

TEST_CASE("a row after every text, and its gradient") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t d : {1, 31, 33, 257}) {
    const Tensor hidden = ctx.normal({kSequences * kTime, d}, 1), before = ctx.copy_of(hidden);
    const Tensor row = ctx.normal({d}, 2), lengths = ctx.of_i32({kSequences}, kLengths);
    end_token_forward(ctx, hidden, row, lengths, kTime);
    const Tensor d_hidden = ctx.normal(hidden.shape, 3), d_before = ctx.copy_of(d_hidden), d_row = ctx.wide_zeros({d});
    end_token_backward(ctx, d_hidden, d_row, lengths, kTime);
    std::vector<double> sum(static_cast<size_t>(d), 0.0);
    for (int64_t t = 0; t < hidden.dim(0); ++t) {
      const bool is_row = t % kTime == kLengths[as_index(t / kTime)] - 1;
      for (int64_t i = 0; i < d; ++i) {
        REQUIRE(get(hidden, t * d + i) == (is_row ? get(row, i) : get(before, t * d + i)));
        REQUIRE(get(d_hidden, t * d + i) == (is_row ? 0 : get(d_before, t * d + i)));
        if (is_row) sum[as_index(i)] += get(d_before, t * d + i);
      }
    }
    check_close("d_row", d_row, sum, {1e-5, 1e-5});
  }
  // Without lengths all sequences are full.
  const Tensor hidden = ctx.zeros({4, 2});
  end_token_forward(ctx, hidden, ctx.of({2}, {1, 2}), {}, 2);
  check_close("full", hidden, {0, 0, 1, 2, 0, 0, 1, 2});
  CHECK_THROWS_AS(end_token_forward(ctx, hidden, ctx.zeros({3}), {}, 2), InternalError);
  CHECK_THROWS_AS(end_token_forward(ctx, hidden, ctx.zeros({2}), ctx.of_i32({3}, {1, 1, 1}), 2), InternalError);
}

TEST_CASE("feature statistics cover only the text") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const int64_t d = 33;
  const Tensor lengths = ctx.of_i32({kSequences}, kLengths), x = padded(ctx, d, 1);
  for (const NoiseStatistics statistics : {NoiseStatistics::sequence, NoiseStatistics::causal}) {
    const Tensor mean = ctx.wide_output(x.shape), deviation = ctx.wide_output(x.shape);
    feature_statistics(ctx, mean, deviation, x, lengths, kTime, statistics);
    for_each_sequence([&](int64_t s, int64_t length) {
      const Tensor own = ctx.copy_of(x.slice(s * kTime, length)), want = ctx.wide_output(own.shape),
                   want_deviation = ctx.wide_output(own.shape);
      feature_statistics(ctx, want, want_deviation, own, {}, length, statistics);
      check_close("mean", mean.slice(s * kTime, length), values(want), {1e-6, 1e-6});
      check_close("deviation", deviation.slice(s * kTime, length), values(want_deviation), {1e-6, 1e-6});
    });
    for (int64_t i = 0; i < mean.size(); ++i) REQUIRE(std::isfinite(get(mean, i) + get(deviation, i)));
  }
}

TEST_CASE("experts take no padding, and the same number of tokens as without it") {
  TestContext ctx;
  for (const int64_t experts : {1, 5, 33}) {
    const Tensor lengths = ctx.of_i32({kSequences}, kLengths), p = padded(ctx, experts, 1, true);
    const Tensor indices = ctx.output(p.shape, DType::i32), weights = ctx.output(p.shape);
    const GroupRoom room = GroupRoom::share(0.3);
    expert_choice(ctx, indices, weights, p, groups_of(kSequences, kTime, kTime, 1, lengths), room);
    for_each_sequence([&](int64_t s, int64_t length) {
      const Tensor own = ctx.copy_of(p.slice(s * kTime, length)), want = ctx.output(own.shape, DType::i32),
                   want_weights = ctx.output(own.shape);
      expert_choice(ctx, want, want_weights, own, {1, length, length, 1}, room);
      CHECK(values(indices.slice(s * kTime, length)) == values(want));
      CHECK(values(weights.slice(s * kTime, length)) == values(want_weights));
    });
    // All in one group: padding is left out in this case too.
    for (const auto& groups :
         {groups_of(1, kSequences * kTime, 0, 1, lengths), groups_of(kTime, kSequences, 1, kTime, lengths)}) {
      expert_choice(ctx, indices, weights, p, groups, room);
      int64_t taken = 0, expected = 0;
      TokenGroups on_host = groups;
      on_host.lengths = kLengths.data();
      for (int64_t i = 0; i < p.size(); ++i) {
        const bool counts = on_host.counts(i / experts);
        if (get(indices, i) < 0) continue;
        REQUIRE(counts);
        ++taken;
      }
      for (int64_t g = 0; g < groups.count; ++g) {
        if (on_host.counted(g) > 0) expected += experts * room.of(on_host.counted(g));
      }
      CHECK(taken == expected);
    }
  }
}

TEST_CASE("Sinkhorn balances tokens, not padding") {
  TestContext ctx;
  for (const int64_t experts : {5, 100}) {
    const Tensor lengths = ctx.of_i32({kSequences}, kLengths), z = padded(ctx, experts, 1, true);
    const Tensor scores = ctx.output(z.shape);
    sinkhorn_scores(ctx, scores, z, groups_of(kSequences, kTime, kTime, 1, lengths), 4);
    for_each_sequence([&](int64_t s, int64_t length) {
      const Tensor own = ctx.copy_of(z.slice(s * kTime, length)), want = ctx.output(own.shape);
      sinkhorn_scores(ctx, want, own, {1, length, length, 1}, 4);
      check_close("scores", scores.slice(s * kTime, length), values(want), {1e-5, 1e-5});
    });
  }
}

TEST_CASE("a capacity counts only tokens") {
  TestContext ctx;
  const int64_t experts = 3, k = 2;
  const Tensor lengths = ctx.of_i32({kSequences}, kLengths), weights = padded(ctx, k, 1, true);
  const Tensor indices = ctx.random_i32(weights.shape, experts, 2);
  const GroupRoom room = GroupRoom::share(0.6 * k / experts);
  for (const DropRule rule : {DropRule::position, DropRule::score}) {
    const auto limit = [&](ConstTensor i, ConstTensor w, const TokenGroups& groups) {
      const Tensor kept = ctx.output(i.shape, DType::i32), demand = ctx.output({groups.count, experts}, DType::i32),
                   lost = ctx.constant({i.dim(0)}, 0, DType::i32);
      limit_assignments(ctx, kept, demand, lost, i, w, groups, room, rule);
      return std::tuple(kept, demand, lost);
    };
    const auto [kept, demand, lost] = limit(indices, weights, groups_of(kSequences, kTime, kTime, 1, lengths));
    for_each_sequence([&, &kept = kept, &demand = demand, &lost = lost](int64_t s, int64_t length) {
      const auto part = [&](ConstTensor all) { return ctx.copy_of(all.slice(s * kTime, length)); };
      const auto [want, want_demand, want_lost] = limit(part(indices), part(weights), {1, length, length, 1});
      CHECK(values(kept.slice(s * kTime, length)) == values(want));
      CHECK(values(demand.slice(s, 1)) == values(want_demand));
      CHECK(values(lost.slice(s * kTime, length)) == values(want_lost));
    });
  }
}

}  // namespace moe::test
