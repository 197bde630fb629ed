#include "core/moe/token_dispatcher.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/imbalance.h"
#include "tests/support/late_communicator.h"
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
                    bool placed = false, int64_t overlap = 1) {
  const size_t ranks = first.size() - 1;
  std::vector<Result> parts(ranks);
  run_ranks(static_cast<int>(ranks), [&](std::shared_ptr<Communicator> threads) {
    const auto world = std::make_shared<LateCommunicator>(std::move(threads));
    const auto rank = static_cast<size_t>(world->rank());
    const ProcessGroups groups = ProcessGroups::make(world, world->size(), experts);
    TestContext ctx(DType::f64);
    TokenDispatcher dispatcher(groups, experts, overlap);
    if (placed) dispatcher.place(random_map(experts, world->size(), 5).places());
    DispatchPlan plan;
    const int64_t begin = first[rank], tokens = first[rank + 1] - begin;
    const Tensor x = ctx.normal({kTokens, kWidth}, 1).slice(begin, tokens);
    const Tensor weights = ctx.normal({kTokens, k}, 2).slice(begin, tokens),
                 d_y = ctx.normal({kTokens, kWidth}, 3).slice(begin, tokens);
    const Tensor chosen = ctx.of_i32({kTokens, k}, indices).slice(begin, tokens);

    dispatcher.prepare(ctx, chosen, plan);
    const Share local = groups.local_experts(experts);
    const int64_t received = plan.local_offsets.as<int32_t>()[local.count];
    MOE_CHECK(plan.local_offsets.shape == Shape{local.count + 1}, "{} offsets", plan.local_offsets.size());
    MOE_CHECK(received == plan.num_received, "{} rows", plan.num_received);
    const Tensor numbers = dispatcher.number(ctx, chosen, begin, plan);
    MOE_CHECK(numbers.dim(0) == received, "{} numbers of {} rows", numbers.dim(0), received);

    // What the experts get of `sent`; they return `factor` times that to `returned`.
    const auto exchange = [&](ConstTensor sent, Tensor returned, double factor) {
      const Tensor at_experts = ctx.output({received, kWidth});
      int64_t rows_so_far = 0, experts_so_far = 0;
      dispatcher.exchange(ctx, plan, TrafficKind::dispatch, sent, returned,
                          [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
                            MOE_CHECK(part.received.begin == rows_so_far && part.experts.begin == experts_so_far,
                                      "a part begins at {}, {}", part.received.begin, part.experts.begin);
                            rows_so_far += part.received.count, experts_so_far += part.experts.count;
                            for (int64_t e = 0; e <= part.experts.count; ++e) {
                              MOE_CHECK(part.received.begin + part.offsets.as<int32_t>()[e] ==
                                            plan.local_offsets.as<int32_t>()[part.experts.begin + e],
                                        "offset {} of a part", e);
                            }
                            const Tensor mine = at_experts.slice(part.received.begin, part.received.count);
                            if (part.by_expert) {
                              gather_rows(ctx, mine, arrived, part.by_expert);
                            } else {
                              copy(ctx, mine, arrived);
                            }
                            const Tensor out = ctx.copy_of(mine);
                            scale(ctx, out, factor);
                            if (part.by_expert) {
                              gather_rows(ctx, back, out, part.by_arrival);
                            } else {
                              copy(ctx, back, out);
                            }
                          });
      MOE_CHECK(rows_so_far == received && experts_so_far == local.count, "{} rows and {} experts in parts",
                rows_so_far, experts_so_far);
      return at_experts;
    };
    const Tensor sent = ctx.output({plan.num_sorted, kWidth}), returned = ctx.output(sent.shape);
    permute_forward(ctx, sent, x, plan.source, k);
    const Tensor rows = exchange(sent, returned, 2), y = ctx.output(x.shape);
    combine_forward(ctx, y, returned, weights, plan.position);
    const Tensor d_weights = ctx.output(weights.shape), d_x = ctx.zeros(x.shape),
                 d_returned = ctx.output(returned.shape);
    combine_backward(ctx, d_returned, d_weights, d_y, returned, weights, plan.position, plan.source);
    const Tensor d_out = exchange(d_returned, d_returned, 1);  // in place
    permute_backward(ctx, d_x, d_returned, plan.position);
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

void check_equal(const Result& actual, const Result& expected) {
  CHECK(actual.rows == expected.rows);
  CHECK(actual.numbers == expected.numbers);
  CHECK(actual.y == expected.y);
  CHECK(actual.d_x == expected.d_x);
  CHECK(actual.d_out == expected.d_out);
  CHECK(actual.d_weights == expected.d_weights);
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
          check_equal(many, one);
          for (const int64_t overlap : {2, 3, 16}) {
            const Result parts = run_dispatch(split, experts, k, indices, false, overlap);
            check_equal(parts, one);
            if (overlap == 2) {
              const Result placed = run_dispatch(split, experts, k, indices, true, overlap),
                           at_once = run_dispatch(split, experts, k, indices, true);
              CHECK(placed.rows == at_once.rows);
              CHECK(placed.numbers == at_once.numbers);
              CHECK(placed.d_out == at_once.d_out);
              CHECK(placed.d_x == one.d_x);
            }
          }
          // With the experts anywhere, only the order in which the ranks list their experts differs.
          Result placed = run_dispatch(split, experts, k, indices, true), sorted = one;
          for (Result* result : {&placed, &sorted}) {
            for (auto member : {&Result::rows, &Result::numbers, &Result::d_out}) {
              std::sort((result->*member).begin(), (result->*member).end());
            }
          }
          check_equal(placed, sorted);
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
    const Tensor chosen = ctx.of_i32({10, 2}, std::vector<int32_t>(20));
    dispatcher.prepare(ctx, chosen, plan);
    if (plan.num_received != 30) throw std::runtime_error(fmt::format("planned {} rows", plan.num_received));
    // No expert has more than 3 of a rank's rows, so 12 rows of the rank for its experts, and 12 of two ranks for two
    // experts.
    dispatcher.prepare(ctx, chosen, plan, {.per_expert = 3});
    if (plan.num_sorted != 12 || plan.num_received != 12) {
      throw std::runtime_error(fmt::format("planned with a bound {} rows", plan.num_received));
    }
  });
  SUCCEED("no rank failed");
}

TEST_CASE("one part is sent ahead while another is computed, and results return meanwhile") {
  std::vector<std::vector<std::string>> events(2);
  run_ranks(2, [&](std::shared_ptr<Communicator> threads) {
    std::vector<std::string>& log = events[static_cast<size_t>(threads->rank())];
    const auto world =
        std::make_shared<LateCommunicator>(std::move(threads), [&](LateCommunicator::Event event, int64_t number) {
          log.push_back(fmt::format("{} {}", event == LateCommunicator::Event::start ? "start" : "wait", number));
        });
    TestContext ctx;
    TokenDispatcher dispatcher(ProcessGroups::make(world, 2, 6), 6, 8);
    DispatchPlan plan;
    dispatcher.prepare(ctx, ctx.random_i32({10, 2}, 6, 1), plan);
    const Tensor rows = ctx.zeros({plan.num_sorted, 3});
    dispatcher.exchange(
        ctx, plan, TrafficKind::dispatch, rows, rows,
        [&](const DispatchPart& part, ConstTensor, Tensor) {
          log.push_back(fmt::format("compute expert {}", part.experts.begin));
        },
        [&] { log.push_back("meanwhile"); });
  });
  // The exchanges 0, 1 and 3 bring rows, 2, 4 and 5 take results back.
  const std::vector<std::string> expected = {
      "start 0",          "meanwhile", "wait 0", "start 1",          "compute expert 0", "start 2", "wait 1", "start 3",
      "compute expert 1", "start 4",   "wait 3", "compute expert 2", "start 5",          "wait 2",  "wait 4", "wait 5"};
  CHECK(events[0] == expected);
  CHECK(events[1] == expected);
}

}  // namespace moe::test
