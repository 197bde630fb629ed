// Dispatch in two stages between made-up hosts equals direct dispatch, and one rank.
#include "core/moe/host_dispatcher.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/moe/expert_pass.h"
#include "core/ops/dispatch_rows.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/imbalance.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/made_up_hosts.h"
#include "tests/support/random_map.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

namespace {

// Hosts of two, three and one ranks, also where the launcher has put neighbours on different hosts.
struct Hosts {
  std::vector<int> of_ranks;
  std::vector<int64_t> sequences;  // per rank; six in total
};
const std::vector<Hosts> kHosts = {{{0, 0, 1, 1}, {2, 1, 2, 1}},
                                   {{7, 3, 3, 7}, {0, 4, 0, 2}},
                                   {{0, 1, 2, 3}, {1, 2, 0, 3}},
                                   {{0, 0, 0, 1, 1, 1}, {1, 1, 0, 2, 1, 1}},
                                   {{1, 0, 2, 0, 2, 1}, {1, 1, 0, 2, 1, 1}}};

int64_t ranks_of(const Hosts& hosts) {
  return std::ssize(hosts.of_ranks);
}

StepResult in_two_stages(const MoEConfig& config, const StepInput& input, const Hosts& hosts, bool placed = false,
                         int64_t overlap = 1) {
  return run_step(
      config, input, hosts.sequences, ranks_of(hosts),
      {.placed = placed, .overlap = overlap, .hosts = hosts.of_ranks, .all_to_all = AllToAll::hierarchical});
}

// The same as one rank to rounding; no bit depends on the number of parts.
void check_hosts(const std::string& name, const MoEConfig& config, const StepInput& input,
                 const std::vector<Hosts>& all_hosts, bool placed = false) {
  const StepResult expected = run_step(config, input, {6}, 1, {.placed = placed});
  for (const Hosts& hosts : all_hosts) {
    if (ranks_of(hosts) > config.experts) continue;
    INFO(name << "; " << ranks_of(hosts) << " ranks, the last on host " << hosts.of_ranks.back()
              << (placed ? ", placed" : ""));
    const StepResult found = in_two_stages(config, input, hosts, placed);
    check_same_step(found, expected);
    CHECK(in_two_stages(config, input, hosts, placed, 2).values == found.values);
  }
}

// A row that an expert gets: the number of its assignment, and its elements.
using Row = std::pair<int32_t, std::vector<double>>;

// The rows of all ranks' experts, sorted; of each rank by expert.
std::vector<std::vector<std::vector<Row>>> rows_at_experts(const Hosts& hosts, int64_t experts, int64_t k,
                                                           const std::vector<int32_t>& indices, bool two_stages,
                                                           bool placed) {
  constexpr int64_t kTokens = 24, kWidth = 3;
  const int64_t ranks = ranks_of(hosts);
  std::vector<std::vector<std::vector<Row>>> result(as_index(ranks));
  run_ranks(
      static_cast<int>(ranks),
      [&](std::shared_ptr<Communicator> world) {
        const int64_t rank = world->rank();
        const ProcessGroups groups = ProcessGroups::make(world, ranks, experts);
        TestContext ctx(DType::f64);
        const Share mine = share_of(kTokens, ranks, rank);
        ctx.first_token = mine.begin;
        const Tensor x = ctx.normal({kTokens, kWidth}, 1).slice(mine.begin, mine.count),
                     chosen = ctx.of_i32({kTokens, k}, indices).slice(mine.begin, mine.count),
                     weights = ctx.normal({kTokens, k}, 2).slice(mine.begin, mine.count);
        TokenDispatcher direct(groups, experts, 2);
        HostDispatcher staged(groups, experts, 2, true);
        const std::vector<int32_t> places = random_map(experts, ranks, 5).places();
        if (placed) direct.place(places), staged.place(places);
        ExpertPass pass;
        HostPlan plan;
        Tensor arrived = x;
        if (two_stages) {
          staged.prepare(ctx, chosen, weights, {}, plan, pass.plan, &pass.numbers);
          arrived = ctx.output({plan.tokens.num_received, kWidth});
          staged.send_tokens(ctx, plan, TrafficKind::dispatch, arrived, x);
        } else {
          direct.prepare(ctx, chosen, pass.plan);
          pass.numbers = direct.number(ctx, chosen, ctx.first_token, pass.plan);
        }
        const Tensor sent = ctx.output({pass.plan.num_sorted, kWidth});
        permute_forward(ctx, sent, arrived, pass.plan.source, k);
        auto& mine_by_expert = result[as_index(rank)];
        (two_stages ? staged.inside() : direct)
            .exchange(ctx, pass.plan, TrafficKind::dispatch, sent, {},
                      [&](const DispatchPart& part, ConstTensor rows, Tensor) {
                        ConstTensor by_expert = rows;
                        if (part.by_expert) {
                          const Tensor gathered = ctx.output({part.received.count, kWidth});
                          gather_rows(ctx, gathered, rows, part.by_expert);
                          by_expert = gathered;
                        }
                        for (int64_t e = 0; e < part.experts.count; ++e) {
                          std::vector<Row>& of_expert = mine_by_expert.emplace_back();
                          const int32_t* offsets = part.offsets.as<int32_t>();
                          for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
                            of_expert.emplace_back(pass.numbers.as<int32_t>()[part.received.begin + r],
                                                   values(Tensor{const_cast<void*>(by_expert.data), by_expert.shape,
                                                                 by_expert.dtype, by_expert.device}
                                                              .slice(r, 1)));
                          }
                          std::sort(of_expert.begin(), of_expert.end());
                        }
                      });
      },
      hosts.of_ranks);
  return result;
}

}  // namespace

TEST_CASE("every expert gets the same rows and numbers in two stages as directly, bit by bit") {
  for (const Hosts& hosts : kHosts) {
    for (const int64_t experts : {7, 12}) {
      for (const int64_t k : {1, 2, 4}) {
        for (const Imbalance& imbalance : imbalances(experts, k)) {
          for (const bool placed : {false, true}) {
            INFO(ranks_of(hosts) << " ranks, " << experts << " experts, k " << k << ", " << imbalance.name);
            const auto indices = imbalanced_indices(24, k, experts, imbalance);
            CHECK(rows_at_experts(hosts, experts, k, indices, true, placed) ==
                  rows_at_experts(hosts, experts, k, indices, false, placed));
          }
        }
      }
    }
  }
}

TEST_CASE("every router and strategy is the same when rows travel in two stages") {
  const StepInput input = step_input(6, 5);
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const MoEConfig config =
          combination("{experts: 9, shared_experts: 1, shared_gate: true}", router.name, strategy.name);
      const bool one_default = router.name == "topk" || strategy.name == "plain";
      const std::string name = fmt::format("{} and {}", router.name, strategy.name);
      check_hosts(name, config, input, one_default ? kHosts : std::vector{kHosts[1]});
      check_hosts(name, config, input, {kHosts[0]}, true);
    }
  }
}

TEST_CASE("1 to 4 experts per token, dropout, capacities and balance losses are the same in two stages") {
  const StepInput input = step_input(6, 5);
  std::vector<std::string> layers;
  for (const int k : {1, 2, 3, 4}) {
    layers.push_back(fmt::format("{{experts: 8, router: {{k: {}, softmax: all, renormalise: false}}}}", k));
    layers.push_back(
        fmt::format("{{experts: 7, dropout: 0.2, hidden_dropout: 0.3, router: {{k: {}, softmax: all, "
                    "renormalise: false}}}}",
                    k));
    layers.push_back(
        fmt::format("{{experts: 7, hidden_dropout: 0.3, router: {{k: {}, softmax: all, renormalise: false}}}}", k));
  }
  for (const std::string& strategy : strategy_variants()) {
    layers.push_back(fmt::format("{{experts: 7, shared_experts: 1, hidden_dropout: 0.2, strategy: {}}}", strategy));
  }
  for (const Member& capacity : family<Capacity>()) {
    layers.push_back(fmt::format("{{experts: 7, capacity: {}}}", capacity_variants().at(capacity.name)));
  }
  for (const Member& loss : family<BalanceLoss>()) {
    layers.push_back(fmt::format("{{experts: 7, balance: [{{kind: {}, coefficient: 2}}], router: {}}}", loss.name,
                                 router_for(loss.name)));
  }
  for (const std::string& yaml : layers) check_hosts(yaml, moe_config(yaml), input, {kHosts[1], kHosts[2], kHosts[3]});
}

TEST_CASE("single outputs that return in two stages give the same outputs as directly, bit by bit") {
  const StepInput input = step_input(6, 5);
  for (const char* yaml :
       {"{experts: 7, dropout: 0.2, router: {k: 3}}", "{experts: 7, strategy: contrastive}",
        "{experts: 7, balance: [{kind: similarity}]}", "{experts: 7, strategy: {kind: compete, probability: 1}}"}) {
    for (const Hosts& hosts : kHosts) {
      const MoEConfig config = moe_config(yaml);
      const StepResult direct = run_step(config, input, hosts.sequences, ranks_of(hosts),
                                         {.hosts = hosts.of_ranks, .all_to_all = AllToAll::direct});
      CHECK(in_two_stages(config, input, hosts).values.at("y") == direct.values.at("y"));
    }
  }
}

TEST_CASE("auto uses two stages where an expert group spans even hosts and tokens choose several experts") {
  const auto is_hierarchical = [](const std::vector<int>& hosts, int64_t width, const char* yaml, AllToAll all_to_all) {
    std::vector<int> found(hosts.size());
    run_ranks(
        static_cast<int>(hosts.size()),
        [&](std::shared_ptr<Communicator> world) {
          const auto rank = static_cast<size_t>(world->rank());
          const MoEConfig config = moe_config(yaml);
          LayerFixture f(config, ProcessGroups::make(world, width, config.experts), {.all_to_all = all_to_all});
          found[rank] = f.layer->is_hierarchical();
        },
        hosts);
    return found;
  };
  const char *two = "{experts: 8, router: {k: 2}}",
             *one = "{experts: 8, router: {k: 1, softmax: all, renormalise: false}}";
  using Found = std::vector<int>;
  CHECK(is_hierarchical({0, 0, 1, 1}, 4, two, AllToAll::automatic) == Found{1, 1, 1, 1});
  CHECK(is_hierarchical({0, 1, 0, 1}, 2, two, AllToAll::automatic) == Found{0, 0, 0, 0});
  CHECK(is_hierarchical({0, 0, 1, 1}, 4, one, AllToAll::automatic) == Found{0, 0, 0, 0});
  CHECK(is_hierarchical({0, 0, 1, 1}, 4, one, AllToAll::hierarchical) == Found{1, 1, 1, 1});
  CHECK(is_hierarchical({0, 0, 1, 1}, 4, two, AllToAll::direct) == Found{0, 0, 0, 0});
  CHECK(is_hierarchical({0, 0, 0, 1}, 4, two, AllToAll::automatic) == Found{0, 0, 0, 0});
  CHECK(is_hierarchical({0, 0}, 2, two, AllToAll::hierarchical) == Found{0, 0});
}

TEST_CASE("between hosts a token's row travels once to each host of its experts, and one row returns") {
  constexpr int64_t kTime = 5;
  for (const int64_t k : {1, 2, 4}) {
    for (const std::vector<int>& hosts : {std::vector{0, 0, 1, 1}, std::vector{0, 1, 2, 3}}) {
      const MoEConfig config =
          moe_config(fmt::format("{{experts: 8, router: {{k: {}, softmax: all, renormalise: false}}}}", k));
      int64_t copies = 0;  // of tokens, to other hosts than their own
      size_t forward = 0, backward = 0;
      std::mutex mutex;
      run_ranks(4, [&](std::shared_ptr<Communicator> threads) {
        size_t* counted = nullptr;
        const auto world =
            std::make_shared<MadeUpHosts>(std::move(threads), hosts, [&](int from, int to, DType, size_t bytes) {
              const std::scoped_lock lock(mutex);
              if (counted && hosts[as_index(from)] != hosts[as_index(to)]) *counted += bytes;
            });
        LayerFixture f(config, ProcessGroups::make(world, 4, 8), {.all_to_all = AllToAll::hierarchical});
        TokenBatch batch = make_batch(f.ctx, 2, kTime);
        const Tensor x = f.ctx.normal({2 * kTime, kModelWidth}, 10 + static_cast<uint32_t>(world->rank())),
                     d_x = f.ctx.output(x.shape);
        RoutingRecord record;
        f.layer->record_choices(&record);
        counted = &forward;
        f.forward(batch, x);
        counted = &backward;
        f.layer->backward(f.ctx, batch, d_x, x);
        counted = nullptr;
        const std::scoped_lock lock(mutex);
        const std::vector<int32_t>& choices = record.chosen;
        for (size_t token = 0; token < choices.size() / as_index(k); ++token) {
          std::set<int> others;
          for (size_t j = 0; j < as_index(k); ++j) {
            const int32_t expert = choices[token * as_index(k) + j];
            others.insert(hosts[as_index(expert / 2)]);  // each rank has two experts
          }
          others.erase(hosts[as_index(world->rank())]);
          copies += std::ssize(others);
        }
      });
      // Rows of f64; the header has an i32 and a weight for each of k experts. A number of rows is sent to each rank
      // of a rail on another host.
      const size_t row = kModelWidth * 8, header = as_index(k) * (4 + 8);
      const size_t rails = std::set<int>(hosts.begin(), hosts.end()).size();
      CHECK(copies > 0);
      CHECK(forward == as_index(copies) * (row + header + row) + 4 * (rails - 1) * 4);
      CHECK(backward == as_index(copies) * (row + row + as_index(k) * 8));
    }
  }
}

}  // namespace moe::test
