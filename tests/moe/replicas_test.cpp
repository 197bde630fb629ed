// Copies of experts on other ranks (parallel.replicas): which there are, and one layer with them.
#include "core/moe/replicas.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/moe/expert_places.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/random_map.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

namespace {

// Expert e has rows in proportion to 1 / (e + 1).
std::vector<double> zipf_rows(int64_t experts) {
  std::vector<double> rows;
  for (int64_t e = 0; e < experts; ++e) rows.push_back(std::round(100000 / static_cast<double>(e + 1)));
  return rows;
}

// The first expert has half of all rows, the others have equal parts of the rest.
std::vector<double> half_for_one(int64_t experts) {
  std::vector<double> rows(as_index(experts), 1000);
  rows[0] = 1000 * static_cast<double>(experts - 1);
  return rows;
}

struct Layout {
  std::vector<int64_t> sequences;  // per rank; six in total
  int64_t expert_parallel;
  std::vector<int> hosts;
};
const std::vector<Layout> kLayouts = {{{5, 1}, 2, {}},
                                      {{1, 0, 5}, 3, {}},
                                      {{2, 1, 2, 1}, 2, {}},
                                      {{0, 3, 2, 1}, 4, {}},
                                      {{2, 1, 2, 1}, 4, {0, 0, 1, 1}},
                                      {{1, 2, 0, 3}, 4, {0, 1, 2, 3}}};

// With copies, a layer is the same as on one rank to rounding, and in parts to the bit.
void check_replicated(const std::string& name, const MoEConfig& config, const StepInput& input,
                      const std::vector<Layout>& layouts) {
  const StepResult expected = run_step(config, input, {6}, 1, {.placed = true});
  for (const Layout& layout : layouts) {
    if (layout.expert_parallel > config.experts) continue;
    for (const int64_t replicas : {1, 3}) {
      INFO(name << "; " << layout.sequences.size() << " ranks, expert parallel " << layout.expert_parallel << ", "
                << replicas << " copies" << (layout.hosts.empty() ? "" : ", several hosts"));
      const auto step = [&](int64_t overlap) {
        return run_step(config, input, layout.sequences, layout.expert_parallel,
                        {.placed = true, .overlap = overlap, .hosts = layout.hosts, .replicas = replicas});
      };
      const StepResult found = step(1);
      check_same_step(found, expected);
      if (replicas == 1) CHECK(step(2).values == found.values);
    }
  }
}

}  // namespace

TEST_CASE("copies are chosen for the experts of the busiest ranks, within the room of each rank") {
  for (const int64_t experts : {4, 7, 16, 64}) {
    for (const int64_t ranks : {2, 3, 4}) {
      for (const int64_t room : {1, 2, 100}) {
        for (const std::vector<double>& rows :
             {zipf_rows(experts), half_for_one(experts), std::vector<double>(as_index(experts)),
              std::vector<double>(as_index(experts), 5)}) {
          const ExpertMap map = random_map(experts, ranks, 3);
          const Replicas copies = choose_replicas(map, rows, room);
          INFO(experts << " experts, " << ranks << " ranks, room for " << room);
          CHECK(Replicas::fits(map, copies.of_ranks(), room));
          CHECK(busiest_over_mean(map, copies, rows) <= busiest_over_mean(map, rows) + 1e-9);
          CHECK(choose_replicas(map, rows, room) == copies);
          const std::vector<double> of_ranks = rows_of_ranks(map, copies, rows);
          CHECK(std::accumulate(of_ranks.begin(), of_ranks.end(), 0.0) ==
                Approx(std::accumulate(rows.begin(), rows.end(), 0.0)));
        }
      }
    }
  }
  // Equal loads, and none, need no copies.
  const ExpertMap even = ExpertMap::contiguous(8, 4);
  CHECK(choose_replicas(even, std::vector<double>(8, 5), 2).empty());
  CHECK(choose_replicas(even, std::vector<double>(8), 2).empty());
  // The only expert with rows gets as many copies as divide them among all ranks.
  std::vector<double> one(8);
  one[3] = 100;
  const Replicas everywhere = choose_replicas(even, one, 1);
  CHECK(everywhere.of_ranks() == std::vector<std::vector<int32_t>>{{3}, {}, {3}, {3}});
  CHECK(busiest_over_mean(even, everywhere, one) == Approx(1));
  CHECK(everywhere.holders(8) == std::vector<int64_t>{1, 1, 1, 4, 1, 1, 1, 1});
}

TEST_CASE("copies bring the busiest rank under 1.1 times the mean where no placement can") {
  for (const int64_t experts : {16, 32, 64}) {
    for (const std::vector<double>& rows : {half_for_one(experts), zipf_rows(experts)}) {
      INFO(experts << " experts, the first with " << rows[0] << " rows");
      const ExpertMap now = ExpertMap::contiguous(experts, 4);
      const PlacementInput input{.now = now, .rows = rows, .pairs = {}, .hosts = {}};
      const auto choose = [](const PlacementInput& reduced) { return balance_rows(reduced); };
      const double alone = busiest_over_mean(balance_rows(input), rows);
      const PlacedReplicas placed = place_with_replicas(input, {}, 1, choose);
      const double with = busiest_over_mean(placed.map, placed.replicas, rows);
      CAPTURE(alone, with);
      if (rows[0] == rows.back() * static_cast<double>(experts - 1)) CHECK(alone >= 2 - 1e-9);
      CHECK(with <= 1.1);
      // Measured again with the same result, nothing moves.
      const PlacementInput next{.now = placed.map, .rows = rows, .pairs = {}, .hosts = {}};
      const PlacedReplicas again = place_with_replicas(next, placed.replicas, 1, choose);
      CHECK(again.map == placed.map);
      CHECK(again.replicas == placed.replicas);
      // With other rows, the busiest rank never gets more of them than without a change.
      for (const size_t swapped : {1, 3, 7}) {
        std::vector<double> others = rows;
        std::swap(others[0], others[swapped]);
        others[2] *= 1.5;
        const PlacementInput changed{.now = placed.map, .rows = others, .pairs = {}, .hosts = {}};
        const PlacedReplicas moved = place_with_replicas(changed, placed.replicas, 1, choose);
        CHECK(busiest_over_mean(moved.map, moved.replicas, others) <=
              busiest_over_mean(placed.map, placed.replicas, others));
      }
    }
  }
}

TEST_CASE("copies that do not fit a map are refused") {
  const ExpertMap map = ExpertMap::contiguous(5, 2);  // two experts, and three
  using Lists = std::vector<std::vector<int32_t>>;
  CHECK(Replicas::fits(map, Lists{}, 0));
  CHECK(Replicas::fits(map, Lists{{2, 4}, {0}}, 2));
  CHECK(Replicas::fits(map, Lists{{2, 3, 4}, {0, 1}}, 9));
  for (const Lists& wrong :
       {Lists{{2}}, Lists{{1}, {}}, Lists{{2, 2}, {}}, Lists{{3, 2}, {}}, Lists{{5}, {}}, Lists{{-1}, {}}}) {
    CHECK_FALSE(Replicas::fits(map, wrong, 2));
    CHECK_THROWS_AS(Replicas(map, wrong, 2), InternalError);
  }
  CHECK_FALSE(Replicas::fits(map, Lists{{2, 3}, {}}, 1));
}

TEST_CASE("assignments go to their expert's home and copies by the token's index in the batch") {
  constexpr int64_t kTokens = 1000, kFirst = 12345;
  const ExpertMap map = random_map(7, 3, 2);
  const Replicas copies = random_replicas(map, 2, 5);
  ExpertPlaces places(map, copies, 2);
  const std::vector<int64_t> counts = ExpertPlaces::counts(7, 3, 2);
  CHECK(counts == std::vector<int64_t>{4, 4, 5});
  std::vector<std::pair<int64_t, int64_t>> held;  // by place: rank and expert, -1 for none
  for (int64_t rank = 0; rank < 3; ++rank) {
    for (const int64_t e : map.experts_of(rank)) held.emplace_back(rank, e);
    for (const int32_t e : copies.on(rank)) held.emplace_back(rank, e);
    while (std::ssize(held) < std::accumulate(counts.begin(), counts.begin() + rank + 1, int64_t{0})) {
      held.emplace_back(rank, -1);
    }
  }
  TestContext ctx;
  ctx.first_token = kFirst;
  const Tensor indices = ctx.random_i32({kTokens, 2}, 7, 1);
  ScratchScope scratch(ctx);
  const ConstTensor all = places.of(ctx, scratch, indices), homes = places.of(ctx, scratch, indices, true);
  std::map<int64_t, std::map<int64_t, int64_t>> rows;  // by expert and rank
  for (int64_t i = 0; i < 2 * kTokens; ++i) {
    const int64_t expert = indices.as<int32_t>()[i];
    const auto [rank, at] = held[as_index(all.as<int32_t>()[i])];
    REQUIRE(at == expert);
    ++rows[expert][rank];
    REQUIRE(held[as_index(homes.as<int32_t>()[i])] == std::pair<int64_t, int64_t>{map.rank_of(expert), expert});
  }
  // The same tokens in another micro-batch or on another rank have the same places.
  ctx.first_token = kFirst + 400;
  const ConstTensor later = places.of(ctx, scratch, indices.slice(400, 600));
  CHECK(std::equal(later.as<int32_t>(), later.as<int32_t>() + later.size(), all.as<int32_t>() + 800));
  const std::vector<int64_t> holders = copies.holders(7);
  for (int64_t e = 0; e < 7; ++e) {
    CHECK(std::ssize(rows[e]) == holders[as_index(e)]);
    int64_t sum = 0;
    for (const auto& [rank, number] : rows[e]) sum += number;
    for (const auto& [rank, number] : rows[e]) {
      CHECK(static_cast<double>(number) == Approx(static_cast<double>(sum) / holders[as_index(e)]).epsilon(0.2));
    }
  }
}

TEST_CASE("every router and strategy with copies of experts is the same as on one rank") {
  const StepInput input = step_input(6, 5);
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const bool one_default = router.name == "topk" || strategy.name == "plain";
      const MoEConfig config =
          combination("{experts: 9, shared_experts: 1, shared_gate: true}", router.name, strategy.name);
      check_replicated(fmt::format("{} and {}", router.name, strategy.name), config, input,
                       one_default ? kLayouts : std::vector{kLayouts[3]});
    }
  }
}

TEST_CASE("dropout, capacities, balance losses and variants of strategies are the same with copies of experts") {
  const StepInput input = step_input(6, 5);
  std::vector<std::string> layers = {"{experts: 8, hidden_dropout: 0.3, dropout: 0.2}",
                                     "{experts: 7, hidden_dropout: 0.3, router: {k: 4}}",
                                     "{experts: 7, strategy: {kind: compete, probability: 1}, hidden_dropout: 0.2}"};
  for (const std::string& strategy : strategy_variants()) {
    layers.push_back(fmt::format("{{experts: 5, hidden_dropout: 0.2, strategy: {}}}", strategy));
  }
  for (const Member& capacity : family<Capacity>()) {
    layers.push_back(fmt::format("{{experts: 5, capacity: {}}}", capacity_variants().at(capacity.name)));
  }
  for (const Member& loss : family<BalanceLoss>()) {
    layers.push_back(
        fmt::format("{{experts: 5, balance: [{{kind: {}}}], router: {}}}", loss.name, router_for(loss.name)));
  }
  for (const std::string& yaml : layers) {
    check_replicated(yaml, moe_config(yaml), input, {kLayouts[1], kLayouts[3], kLayouts[4]});
  }
}

TEST_CASE("copies of an expert with all rows, and of experts without any, are the same as on one rank") {
  StepInput input = step_input(6, 5);
  for (size_t i = 0; i < input.x.size(); ++i) {
    const double scale = 1 + 0.01 * static_cast<double>(i / kModelWidth);
    input.x[i] = scale * (i % kModelWidth == 0 ? 3.0 : 0.1 * static_cast<double>(i % kModelWidth));
  }
  for (const char* yaml :
       {"{experts: 5, router: {k: 1, softmax: all, renormalise: false}}", "{experts: 5, router: {k: 2}}"}) {
    check_replicated(yaml, moe_config(yaml), input, kLayouts);
  }
}

}  // namespace moe::test
