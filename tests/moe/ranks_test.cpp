// One MoE layer on several ranks equals the same layer on one.
#include <initializer_list>
#include <numeric>

#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/strategy_variants.h"

namespace moe::test {

namespace {

struct Layout {
  std::vector<int64_t> sequences;  // per rank; six in total
  int64_t expert_parallel;
};

const std::vector<Layout> kLayouts = {
    {{6}, 1},          {{3, 3}, 1},       {{3, 3}, 2},       {{5, 1}, 2},       {{0, 6}, 2},
    {{6, 0}, 1},       {{2, 2, 2}, 3},    {{1, 0, 5}, 3},    {{0, 0, 6}, 3},    {{2, 1, 2, 1}, 4},
    {{0, 6, 0, 0}, 4}, {{2, 1, 2, 1}, 2}, {{0, 3, 3, 0}, 2}, {{1, 3, 0, 2}, 1},
};

const std::vector<Layout> kFewLayouts = {{{5, 1}, 2}, {{1, 0, 5}, 3}, {{2, 1, 2, 1}, 2}};

void check_layouts(const std::string& name, const MoEConfig& config, const StepInput& input,
                   const std::vector<Layout>& layouts) {
  const StepResult expected = run_step(config, input, {6}, 1);
  for (const Layout& layout : layouts) {
    if (layout.expert_parallel > config.experts) continue;
    INFO(name << "; " << layout.sequences.size() << " ranks, the first with " << layout.sequences[0]
              << " sequences, expert parallel " << layout.expert_parallel);
    check_same_step(run_step(config, input, layout.sequences, layout.expert_parallel), expected);
  }
}

// Layouts with experts on ranks by random maps.
void check_placed(const std::string& name, const MoEConfig& config, const StepInput& input) {
  const StepResult expected = run_step(config, input, {6}, 1, {.placed = true});
  for (const Layout& layout : kFewLayouts) {
    if (layout.expert_parallel > config.experts) continue;
    INFO(name << "; " << layout.sequences.size() << " ranks, expert parallel " << layout.expert_parallel);
    const StepResult placed = run_step(config, input, layout.sequences, layout.expert_parallel, {.placed = true});
    check_same_step(placed, expected);
    // A map changes no sum that a token or an expert takes part in.
    const StepResult contiguous = run_step(config, input, layout.sequences, layout.expert_parallel);
    for (const auto& [what, values] : contiguous.values) {
      if (what == "y" || what.rfind("gradient of layer.experts", 0) == 0) CHECK(placed.values.at(what) == values);
    }
  }
}

// Rows that travel in parts change no bit.
void check_overlap(const std::string& name, const MoEConfig& config, const StepInput& input, const Layout& layout,
                   bool placed, std::initializer_list<int64_t> overlaps) {
  const StepResult expected = run_step(config, input, layout.sequences, layout.expert_parallel, {.placed = placed});
  for (const int64_t overlap : overlaps) {
    INFO(name << "; " << layout.sequences.size() << " ranks, expert parallel " << layout.expert_parallel << ", "
              << overlap << " parts" << (placed ? ", placed" : ""));
    const StepResult found =
        run_step(config, input, layout.sequences, layout.expert_parallel, {.placed = placed, .overlap = overlap});
    REQUIRE(found.values.size() == expected.values.size());
    for (const auto& [what, values] : expected.values) {
      INFO(what);
      CHECK(found.values.at(what) == values);
    }
  }
}

void check_all_layouts(const std::string& name, const MoEConfig& config, const StepInput& input) {
  check_layouts(name, config, input, kLayouts);
}

}  // namespace

TEST_CASE("every router, and every strategy, is the same on any number of ranks") {
  const StepInput input = step_input(6, 5);
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const bool one_default = router.name == "topk" || strategy.name == "plain";
      for (const int experts : {5, 4, 8}) {  // divided unevenly and evenly among 2, 3 and 4 ranks
        if (experts != 5 && strategy.name != "plain") continue;
        const MoEConfig config =
            combination(fmt::format("{{experts: {}, shared_experts: 1, shared_gate: {}}}", experts, experts != 4),
                        router.name, strategy.name);
        // For combinations of two non-default members a few layouts are enough.
        check_layouts(fmt::format("{} and {}, {} experts", router.name, strategy.name, experts), config, input,
                      one_default ? kLayouts : kFewLayouts);
      }
    }
  }
}

TEST_CASE("every router, and every strategy, is the same wherever the experts are") {
  const StepInput input = step_input(6, 5);
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const MoEConfig config = combination("{experts: 5, shared_experts: 1}", router.name, strategy.name);
      check_placed(fmt::format("{} and {}", router.name, strategy.name), config, input);
    }
  }
  std::vector<std::string> others = {"{experts: 8, hidden_dropout: 0.3, dropout: 0.2}"};
  for (const std::string& strategy : strategy_variants()) {
    others.push_back(fmt::format("{{experts: 5, strategy: {}}}", strategy));
  }
  for (const Member& capacity : family<Capacity>()) {
    others.push_back(fmt::format("{{experts: 5, capacity: {}}}", capacity_variants().at(capacity.name)));
  }
  for (const Member& loss : family<BalanceLoss>()) {
    others.push_back(
        fmt::format("{{experts: 5, balance: [{{kind: {}}}], router: {}}}", loss.name, router_for(loss.name)));
  }
  for (const std::string& yaml : others) check_placed(yaml, moe_config(yaml), input);
}

TEST_CASE("rows that travel in parts change no bit with any router and strategy") {
  const StepInput input = step_input(6, 5);
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const MoEConfig config =
          combination("{experts: 9, shared_experts: 1, shared_gate: true}", router.name, strategy.name);
      const std::string name = fmt::format("{} and {}", router.name, strategy.name);
      check_overlap(name, config, input, {{5, 1}, 2}, false, {2, 3});
      check_overlap(name, config, input, {{2, 0, 3, 1}, 4}, true, {2});
    }
  }
}

TEST_CASE("rows that travel in parts change no bit with uneven experts, experts and ranks without rows, and dropout") {
  const StepInput input = step_input(6, 5);
  std::vector<std::string> layers = {"{experts: 9, shared_experts: 2}",
                                     "{experts: 30, router: {k: 1, softmax: all, renormalise: false}}",
                                     "{experts: 8, hidden_dropout: 0.3, dropout: 0.2, shared_experts: 1}"};
  for (const std::string& strategy : strategy_variants()) {
    layers.push_back(fmt::format("{{experts: 7, shared_experts: 1, hidden_dropout: 0.2, strategy: {}}}", strategy));
  }
  for (const Member& capacity : family<Capacity>()) {
    layers.push_back(fmt::format("{{experts: 7, capacity: {}}}", capacity_variants().at(capacity.name)));
  }
  for (const std::string& yaml : layers) {
    const MoEConfig config = moe_config(yaml);
    // The last number of parts is larger than that of any rank's experts.
    check_overlap(yaml, config, input, {{0, 6}, 2}, false, {2, 3, 16});
    check_overlap(yaml, config, input, {{2, 1, 2, 1}, 2}, true, {2, 16});
    check_overlap(yaml, config, input, {{1, 0, 5}, 3}, false, {2});
  }
}

TEST_CASE("variants of the strategies are the same on any number of ranks") {
  const StepInput input = step_input(6, 5);
  std::vector<std::string> variants = strategy_variants();
  variants.push_back("{kind: compete, probability: 1}");
  variants.push_back("{kind: compete, probability: 1, version: 2}");
  for (const std::string& strategy : variants) {
    const std::string yaml = fmt::format("{{experts: 5, strategy: {}}}", strategy);
    check_all_layouts(yaml, moe_config(yaml), input);
  }
}

TEST_CASE("every capacity is the same on any number of ranks") {
  const StepInput input = step_input(6, 5);
  for (const Member& capacity : family<Capacity>()) {
    const std::string yaml = fmt::format("{{experts: 5, capacity: {}}}", capacity_variants().at(capacity.name));
    check_all_layouts(yaml, moe_config(yaml), input);
  }
  for (const char* more : {"", ", strategy: {kind: compete, probability: 1}", ", strategy: stochastic",
                           ", strategy: hierarchical", ", strategy: {kind: contrastive, contrast: 1}"}) {
    const std::string yaml =
        fmt::format("{{experts: 5, capacity: {{kind: fixed, factor: 0.6, drop: score, renormalise: true}}{}}}", more);
    check_layouts(yaml, moe_config(yaml), input, kFewLayouts);
  }
}

TEST_CASE("every balance loss is the same on any number of ranks") {
  const StepInput input = step_input(6, 5);
  for (const Member& loss : family<BalanceLoss>()) {
    for (const char* scope : {"global", "sequence"}) {  // scope `rank` depends on the ranks by definition
      const std::string yaml =
          fmt::format("{{experts: 5, balance: [{{kind: {}, coefficient: 2, scope: {}}}], router: {}}}", loss.name,
                      scope, router_for(loss.name));
      check_all_layouts(yaml, moe_config(yaml), input);
    }
  }
}

TEST_CASE("a layer is the same on any number of ranks for any load imbalance") {
  // Inputs along one direction all choose the same experts: most experts, and with them whole ranks, have no rows.
  StepInput input = step_input(6, 5);
  for (size_t i = 0; i < input.x.size(); ++i) {
    const double scale = 1 + 0.01 * static_cast<double>(i / kModelWidth);
    input.x[i] = scale * (i % kModelWidth == 0 ? 3.0 : 0.1 * static_cast<double>(i % kModelWidth));
  }
  for (const char* yaml : {"{experts: 5, router: {k: 1, softmax: all, renormalise: false}}",
                           "{experts: 5, router: {k: 2}}", "{experts: 5, router: {k: 5}}"}) {
    const MoEConfig config = moe_config(yaml);
    LayerFixture f(config);
    const TokenBatch batch = make_batch(f.ctx, 6, 5);
    f.forward(batch, f.ctx.of({30, kModelWidth}, input.x));
    CHECK(f.layer->load().dead() == 5 - f.layer->router().traits().k);
    check_all_layouts(yaml, config, input);
    check_overlap(yaml, config, input, {{2, 4}, 2}, false, {2});
  }
}

TEST_CASE("scope rank balances each rank's own tokens") {
  // With equal shares the value is the mean of the ranks' values. Sequence scope with one sequence per rank gives the
  // same.
  const StepInput input = step_input(2, 7);
  const StepResult by_rank =
      run_step(moe_config("{experts: 5, balance: [{kind: switch, scope: rank}]}"), input, {1, 1}, 2);
  const StepResult by_sequence =
      run_step(moe_config("{experts: 5, balance: [{kind: switch, scope: sequence}]}"), input, {2}, 1);
  check_same_step(by_rank, by_sequence);
}

}  // namespace moe::test
