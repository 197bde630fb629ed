#include "core/moe/token_dispatcher.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>

#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/imbalance.h"
#include "tests/support/random_map.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

namespace {

constexpr int64_t kTokens = 21, kWidth = 3;

struct Result {
  std::vector<double> rows;     // received by all ranks, in order: sorted by expert, or by its place
  std::vector<double> numbers;  // the assignment numbers of the rows
  std::vector<double> y, d_x, d_out, d_weights;
};

// Dispatches, doubles every row as the "experts", combines, and runs backward. Rank r has the tokens [first[r], first[r
// + 1]).
Result run_dispatch(const std::vector<int64_t>& first, int64_t experts, int64_t k, const std::vector<int32_t>& indices,
                    bool placed = false) {
  const size_t ranks = first.size() - 1;
  std::vector<Result> parts(ranks);
  run_ranks(static_cast<int>(ranks), [&](std::shared_ptr<Communicator> world) {
    const auto rank = static_cast<size_t>(world->rank());
    const ProcessGroups groups = ProcessGroups::make(world, world->size(), experts);
    TestContext ctx(DType::f64);
    TokenDispatcher dispatcher(groups, experts);
    if (placed) dispatcher.place(random_map(experts, world->size(), 5).places());
    DispatchPlan plan;
    const int64_t begin = first[rank], tokens = first[rank + 1] - begin;
    const Tensor x = ctx.normal({kTokens, kWidth}, 1).slice(begin, tokens);
    const Tensor weights = ctx.normal({kTokens, k}, 2).slice(begin, tokens),
                 d_y = ctx.normal({kTokens, kWidth}, 3).slice(begin, tokens);
    const Tensor chosen = ctx.of_i32({kTokens, k}, indices).slice(begin, tokens);

    const Tensor rows = dispatcher.dispatch(ctx, x, chosen, plan);
    const Share local = groups.local_experts(experts);
    MOE_CHECK(plan.local_offsets.shape == Shape{local.count + 1}, "{} offsets", plan.local_offsets.size());
    MOE_CHECK(plan.local_offsets.as<int32_t>()[local.count] == rows.dim(0), "{} rows", rows.dim(0));
    const Tensor numbers = dispatcher.number(ctx, chosen, begin, plan);
    MOE_CHECK(numbers.dim(0) == rows.dim(0), "{} numbers of {} rows", numbers.dim(0), rows.dim(0));
    const Tensor out = ctx.output(rows.shape), d_out = ctx.output(rows.shape);
    for (int64_t i = 0; i < rows.size(); ++i) set(out, i, 2 * get(rows, i));
    const Tensor returned = dispatcher.collect(ctx, out, plan), y = ctx.output(x.shape);
    combine_forward(ctx, y, returned, weights, plan.position);
    const Tensor d_weights = ctx.output(weights.shape), d_x = ctx.zeros(x.shape),
                 d_returned = ctx.output(returned.shape);
    combine_backward(ctx, d_returned, d_weights, d_y, returned, weights, plan.position, plan.source);
    ScratchScope scratch(ctx);
    copy(ctx, d_out, dispatcher.collect_backward(ctx, scratch, d_returned, plan));
    dispatcher.dispatch_backward(ctx, d_x, d_out, plan);
    parts[rank] = {values(rows), values(numbers), values(y), values(d_x), values(d_out), values(d_weights)};
  });
  Result whole;
  for (const Result& part : parts) {
    for (const auto member :
         {&Result::rows, &Result::numbers, &Result::y, &Result::d_x, &Result::d_out, &Result::d_weights}) {
      (whole.*member).insert((whole.*member).end(), (part.*member).begin(), (part.*member).end());
    }
  }
  return whole;
}

}  // namespace

TEST_CASE("rows are sent to their experts and back, on any number of ranks") {
  const std::vector<std::vector<int64_t>> splits = {{0, 21},        {0, 10, 21},     {0, 0, 21},
                                                    {0, 7, 14, 21}, {0, 21, 21, 21}, {0, 1, 13, 13, 21}};
  for (const int64_t experts : {4, 5, 9}) {
    for (const int64_t k : {int64_t{1}, int64_t{3}, experts}) {
      for (const Imbalance& imbalance : imbalances(experts, k)) {
        const auto indices = imbalanced_indices(kTokens, k, experts, imbalance);
        const Result one = run_dispatch({0, kTokens}, experts, k, indices);
        // On one rank: y is twice the weighted sum of the token's copies.
        TestContext ctx(DType::f64);
        const Tensor x = ctx.normal({kTokens, kWidth}, 1), weights = ctx.normal({kTokens, k}, 2);
        std::vector<double> y(kTokens * kWidth);
        for (int64_t slot = 0; slot < kTokens * k; ++slot) {
          if (indices[as_index(slot)] < 0) continue;
          for (int64_t i = 0; i < kWidth; ++i) {
            y[as_index(slot / k * kWidth + i)] += 2 * get(weights, slot) * get(x, slot / k * kWidth + i);
          }
        }
        for (size_t i = 0; i < one.numbers.size(); ++i) {
          for (int64_t c = 0; c < kWidth; ++c) {
            const auto token = static_cast<int64_t>(one.numbers[i]) / experts;
            REQUIRE(one.rows[i * kWidth + static_cast<size_t>(c)] == get(x, token * kWidth + c));
          }
        }
        std::vector<double> actual = one.y;
        check_close("y of one rank, " + imbalance.name,
                    Tensor{actual.data(), {kTokens, kWidth}, DType::f64, Device::cpu}, y);
        for (const auto& split : splits) {
          INFO(experts << " experts, k " << k << ", " << imbalance.name << ", " << split.size() - 1 << " ranks");
          // The order of all sums is the same, so every number is identical to the bit.
          const Result many = run_dispatch(split, experts, k, indices);
          CHECK(many.rows == one.rows);
          CHECK(many.numbers == one.numbers);
          CHECK(many.y == one.y);
          CHECK(many.d_x == one.d_x);
          CHECK(many.d_out == one.d_out);
          CHECK(many.d_weights == one.d_weights);
          // With the experts anywhere, only the order in which the ranks list their experts differs.
          Result placed = run_dispatch(split, experts, k, indices, true), sorted = one;
          for (Result* result : {&placed, &sorted}) {
            for (auto member : {&Result::rows, &Result::numbers, &Result::d_out}) {
              std::sort((result->*member).begin(), (result->*member).end());
            }
          }
          CHECK(placed.rows == sorted.rows);
          CHECK(placed.numbers == sorted.numbers);
          CHECK(placed.y == one.y);
          CHECK(placed.d_x == one.d_x);
          CHECK(placed.d_out == sorted.d_out);
          CHECK(placed.d_weights == one.d_weights);
        }
      }
    }
  }
}

TEST_CASE("a planned dispatch counts the rows of the planned imbalance") {
  run_ranks(2, [](std::shared_ptr<Communicator> world) {
    TestContext ctx;
    ctx.planning = true;
    ctx.planned_imbalance = 1.5;
    TokenDispatcher dispatcher(ProcessGroups::make(world, 2, 4), 4);
    DispatchPlan plan;
    const Tensor rows =
        dispatcher.dispatch(ctx, ctx.zeros({10, 3}), ctx.of_i32({10, 2}, std::vector<int32_t>(20)), plan);
    if (rows.dim(0) != 30) throw std::runtime_error("planned " + rows.shape.to_string());
    // No expert has more than 3 of a rank's rows, so 12 rows of the rank for its experts, and 12 of two ranks for two
    // experts.
    const Tensor bounded =
        dispatcher.dispatch(ctx, ctx.zeros({10, 3}), ctx.of_i32({10, 2}, std::vector<int32_t>(20)), plan, 3);
    if (plan.num_sorted != 12 || bounded.dim(0) != 12) {
      throw std::runtime_error("planned with a bound " + bounded.shape.to_string());
    }
  });
  SUCCEED("no rank failed");
}

}  // namespace moe::test
