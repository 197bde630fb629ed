// The limit on experts' rows, compared with plain loops over the assignments.
#include "core/ops/capacity.h"
#include "core/base/integer.h"

#include <algorithm>
#include <cmath>

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/exact.h"
#include "tests/support/gradient_check.h"

namespace moe::test {

namespace {

struct Expected {
  std::vector<double> kept, demand, lost;
};

// `groups` in sequences of one place, which holds a token where is_token (tokens) i32 is 1 and padding where it is 0.
TokenGroups with_padding(TokenGroups groups, ConstTensor is_token) {
  groups.lengths = is_token.as<int32_t>();
  groups.time = 1;
  return groups;
}

// Sorts all assignments of a group by the rule and assigns places in that order, to padding last.
Expected reference(ConstTensor indices, ConstTensor weights, ConstTensor is_token, const TokenGroups& groups,
                   int64_t experts, int64_t capacity, DropRule rule) {
  const int64_t k = indices.dim(1);
  Expected e{std::vector<double>(static_cast<size_t>(indices.size()), -1),
             std::vector<double>(static_cast<size_t>(groups.count * experts), 0),
             std::vector<double>(static_cast<size_t>(indices.dim(0)), 0)};
  struct Entry {
    bool padding;
    int64_t token, j;
    double weight;
  };
  for (int64_t g = 0; g < groups.count; ++g) {
    std::vector<Entry> entries;
    for (int64_t place = 0; place < groups.size; ++place) {
      const int64_t t = g * groups.first + place * groups.step;
      for (int64_t j = 0; j < k; ++j) {
        const double w = get(weights, t * k + j);
        if (get(indices, t * k + j) < 0) continue;
        entries.push_back({get(is_token, t) == 0, t, j, std::isnan(w) ? -INFINITY : w});
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
      if (a.padding != b.padding) return b.padding;
      return rule == DropRule::position ? a.j < b.j : a.weight > b.weight;
    });
    std::vector<int64_t> taken(static_cast<size_t>(experts), 0);
    for (const Entry& entry : entries) {
      const int64_t s = entry.token * k + entry.j;
      const auto expert = static_cast<size_t>(get(indices, s));
      if (!entry.padding) e.demand[static_cast<size_t>(g * experts) + expert] += 1;
      if (taken[expert] < capacity) {
        ++taken[expert];
        e.kept[as_index(s)] = static_cast<double>(expert);
      } else if (!entry.padding) {
        e.lost[as_index(entry.token)] += 1;
      }
    }
  }
  return e;
}

// Choices of a token among neighbouring experts: distinct, some slots empty, most of them of few experts.
Tensor choices(TestContext& ctx, int64_t tokens, int64_t k, int64_t experts) {
  std::vector<int32_t> indices;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < k; ++j) {
      const int64_t busy = t % 3 == 0 ? 0 : t * t % experts;
      indices.push_back((t + 2 * j) % 7 == 6 ? -1 : static_cast<int32_t>((busy + j) % experts));
    }
  }
  return ctx.of_i32({tokens, k}, indices);
}

}  // namespace

TEST_CASE("a capacity keeps the same assignments as the plain reference") {
  const DType dtype = GENERATE(from_range(tested_dtypes()));
  if (dtype == DType::bf16) return;  // weights are f32 in that case too, so it would be the same test
  TestContext ctx(dtype);
  for (const int64_t experts : {1, 3, 33}) {
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(experts, 3)}) {
      for (const TokenGroups& groups : {TokenGroups{2, 33, 33, 1}, TokenGroups{33, 2, 1, 33}, TokenGroups{1, 1, 0, 1},
                                        TokenGroups{1, 600, 0, 1}, TokenGroups{3, 257, 257, 1}}) {
        const int64_t tokens = groups.count * groups.size;
        if (tokens > 500 && k == 1 && experts > 1) continue;  // with more choices the same rows are longer
        std::vector<double> scores;                           // many ties, both zeros, some NaN
        for (int64_t i = 0; i < tokens * k; ++i) {
          scores.push_back(i % 29 == 5 ? NAN : i % 31 == 3 ? -0.0 : static_cast<double>(i * 7 % 11) / 8);
        }
        std::vector<int32_t> present(as_index(tokens), 1);
        for (int64_t t = 2; t < tokens; t += 5) present[as_index(t)] = 0;
        const Tensor indices = choices(ctx, tokens, k, experts), weights = ctx.of({tokens, k}, scores),
                     is_token = ctx.of_i32({tokens}, present);
        for (const DropRule rule : {DropRule::position, DropRule::score}) {
          for (const int64_t capacity : {int64_t{0}, int64_t{1}, groups.size / experts + 1, groups.size * k}) {
            INFO(experts << " experts, k " << k << ", groups of " << groups.size << ", capacity " << capacity
                         << (rule == DropRule::score ? " by score" : " by position"));
            const Tensor kept = ctx.output(indices.shape, DType::i32),
                         demand = ctx.output({groups.count, experts}, DType::i32),
                         lost = ctx.constant({tokens}, 0, DType::i32);
            limit_assignments(ctx, kept, demand, lost, indices, weights, with_padding(groups, is_token), capacity,
                              rule);
            const Expected expected = reference(indices, weights, is_token, groups, experts, capacity, rule);
            CHECK(values(kept) == expected.kept);
            CHECK(values(demand) == expected.demand);
            CHECK(values(lost) == expected.lost);
          }
        }
      }
    }
  }
}

TEST_CASE("by position first choices come before second ones, by score larger weights come first") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  // Tokens 0 and 1 have expert 0 as their second choice, token 2 as its first; there is room for one.
  const Tensor indices = ctx.of_i32({3, 2}, {1, 0, 2, 0, 0, 1});
  const Tensor weights = ctx.wide_output({3, 2});
  const std::vector<double> w = {0.5, 0.25, 0.5, 0.75, 0.5, 0.125};
  for (int64_t i = 0; i < 6; ++i) set(weights, i, w[as_index(i)]);
  const Tensor kept = ctx.output({3, 2}, DType::i32), demand = ctx.output({1, 3}, DType::i32);
  const auto run = [&](DropRule rule) {
    const Tensor lost = ctx.constant({3}, 1, DType::i32);  // it is accumulated
    limit_assignments(ctx, kept, demand, lost, indices, weights, {1, 3, 0, 1}, 1, rule);
    return values(lost);
  };
  CHECK(run(DropRule::position) == std::vector<double>{2, 2, 2});
  CHECK(values(kept) == std::vector<double>{1, -1, 2, -1, 0, -1});
  CHECK(values(demand) == std::vector<double>{3, 2, 1});
  CHECK(run(DropRule::score) == std::vector<double>{2, 1, 3});
  CHECK(values(kept) == std::vector<double>{1, -1, 2, 0, -1, -1});
}

TEST_CASE("padding takes no place from a token") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor indices = ctx.of_i32({4, 1}, {0, 0, 0, 0}), weights = ctx.wide_constant({4, 1}, 0.5),
               is_token = ctx.of_i32({4}, {0, 0, 1, 1});
  const Tensor kept = ctx.output({4, 1}, DType::i32), demand = ctx.output({1, 1}, DType::i32);
  for (const DropRule rule : {DropRule::position, DropRule::score}) {
    for (const int64_t capacity : {2, 3}) {
      const Tensor lost = ctx.constant({4}, 0, DType::i32);
      limit_assignments(ctx, kept, demand, lost, indices, weights, with_padding({1, 4, 0, 1}, is_token), capacity,
                        rule);
      CHECK(values(kept) == std::vector<double>{capacity == 2 ? -1.0 : 0.0, -1, 0, 0});
      CHECK(values(lost) == std::vector<double>{0, 0, 0, 0});
      CHECK(get(demand, 0) == 2);
    }
  }
}

TEST_CASE("a capacity refuses invalid arguments") {
  TestContext ctx;
  const Tensor indices = ctx.of_i32({4, 1}, {0, 0, 0, 0}), weights = ctx.wide_zeros({4, 1}),
               kept = ctx.output({4, 1}, DType::i32), demand = ctx.output({1, 2}, DType::i32),
               lost = ctx.constant({4}, 0, DType::i32);
  const auto limit = [&](const TokenGroups& groups, int64_t capacity) {
    limit_assignments(ctx, kept, demand, lost, indices, weights, groups, capacity, DropRule::score);
  };
  CHECK_THROWS_AS(limit({1, 3, 0, 1}, 1), InternalError);
  CHECK_THROWS_AS(limit({2, 2, 2, 1}, 1), InternalError);
  CHECK_THROWS_AS(limit({1, 4, 0, 1}, -1), InternalError);
  // A rank without tokens.
  limit_assignments(ctx, ctx.output({0, 1}, DType::i32), ctx.output({0, 2}, DType::i32), ctx.output({0}, DType::i32),
                    ctx.output({0, 1}, DType::i32), ctx.wide_zeros({0, 1}), {0, 4, 4, 1}, 1, DropRule::position);
}

TEST_CASE("kept slots take over the weight of dropped ones") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  const Tensor weights = ctx.wide_zeros({3, 3});
  const std::vector<double> w = {0.5, 0.25, 0.25, 0.5, 0.5, 0.75, 0.5, 0.5, 0};
  for (int64_t i = 0; i < 9; ++i) set(weights, i, w[as_index(i)]);
  const Tensor indices = ctx.of_i32({3, 3}, {0, 1, 2, 3, 4, -1, 0, 1, 2}),
               kept = ctx.of_i32({3, 3}, {0, -1, 2, -1, -1, -1, -1, -1, 2}), y = ctx.wide_output({3, 3});
  renormalise_after_drop_forward(ctx, y, weights, indices, kept);
  check_close("weights", y, {2.0 / 3, 0, 1.0 / 3, 0, 0, 0, 0, 0, 0}, {1e-6, 1e-7});
}

TEST_CASE("kept slots take over the weight of dropped ones: gradients", "[cpu]") {
  TestContext ctx(DType::f64);
  const int64_t tokens = 12, k = 4;
  const Tensor weights = ctx.output({tokens, k}), indices = choices(ctx, tokens, k, 7),
               kept = ctx.output(indices.shape, DType::i32), y = ctx.output(weights.shape),
               d_y = ctx.normal(weights.shape, 2);
  for (int64_t i = 0; i < weights.size(); ++i) {
    set(weights, i, 0.1 + static_cast<double>(i % 5));
    set(kept, i, i % 3 == 1 || i / k == 5 ? -1.0 : get(indices, i));
  }
  const auto loss = [&] {
    renormalise_after_drop_forward(ctx, y, weights, indices, kept);
    return dot(y, d_y);
  };
  const Tensor d_weights = ctx.copy_of(d_y);
  renormalise_after_drop_backward(ctx, d_weights, weights, indices, kept);
  check_gradients(loss, {{"weights", weights, d_weights}}, {.samples = 1000});
}

TEST_CASE("kept slots take over weights as on the CPU in f64") {
  TestContext ctx;
  Exact exact;
  for (const int64_t tokens : {0, 1, 31, 257}) {
    for (const int64_t k : {1, 5}) {
      const Tensor indices = choices(ctx, tokens, k, 7), kept = ctx.output(indices.shape, DType::i32),
                   weights = ctx.output(indices.shape), y = ctx.output(indices.shape), d = ctx.normal(indices.shape, 3);
      for (int64_t i = 0; i < indices.size(); ++i) {
        set(weights, i, static_cast<double>(i % 7) / 4);
        set(kept, i, i % 3 == 1 ? -1.0 : get(indices, i));
      }
      const Tensor y64 = exact.output(indices.shape), d64 = exact(d);
      renormalise_after_drop_forward(ctx, y, weights, indices, kept);
      renormalise_after_drop_forward(exact, y64, exact(weights), exact(indices), exact(kept));
      check_close("weights", y, y64, tolerance(ctx));
      renormalise_after_drop_backward(ctx, d, weights, indices, kept);
      renormalise_after_drop_backward(exact, d64, exact(weights), exact(indices), exact(kept));
      check_close("gradient", d, d64, tolerance(ctx));
    }
  }
}

TEST_CASE("losses of tokens with dropped assignments, and of the others") {
  TestContext ctx(GENERATE(from_range(tested_dtypes())));
  for (const int64_t tokens : {0, 1, 33, 1000}) {
    const Tensor losses = ctx.wide_output({tokens}), lost = ctx.output({tokens}, DType::i32),
                 targets = ctx.output({tokens}, DType::i32);
    LossByDrops expected;
    for (int64_t t = 0; t < tokens; ++t) {
      set(losses, t, static_cast<double>(t % 9) / 4);
      set(lost, t, static_cast<double>(t % 4));
      set(targets, t, t % 5 == 4 ? kIgnoreTarget : 1.0);
      if (t % 5 == 4) continue;
      (t % 4 ? expected.lost_loss : expected.kept_loss) += static_cast<double>(t % 9) / 4;
      (t % 4 ? expected.lost_tokens : expected.kept_tokens) += 1;
    }
    const LossByDrops sums = loss_by_drops(ctx, losses, lost, targets);
    CHECK(sums.lost_loss == expected.lost_loss);
    CHECK(sums.kept_loss == expected.kept_loss);
    CHECK(sums.lost_tokens == expected.lost_tokens);
    CHECK(sums.kept_tokens == expected.kept_tokens);
  }
  CHECK_THROWS_AS(loss_by_drops(ctx, ctx.wide_zeros({3}), ctx.output({2}, DType::i32), ctx.output({3}, DType::i32)),
                  InternalError);
  // One prediction per two tokens.
  const LossByDrops sums =
      loss_by_drops(ctx, ctx.wide_constant({2}, 0.5), ctx.of_i32({4}, {0, 2, 0, 0}), ctx.of_i32({2}, {1, 1}));
  CHECK(sums.lost_tokens == 1);
  CHECK(sums.kept_tokens == 1);
}

}  // namespace moe::test
