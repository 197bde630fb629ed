// Options of strategies that change the computation, for tests that every strategy must pass.
#pragma once
#include <set>
#include <string>
#include <vector>

namespace moe::test {

// Below `moe.strategy`, in YAML. None of them stops a gradient, because difference quotients cannot reproduce that.
inline const std::vector<std::string>& strategy_variants() {
  static const std::vector<std::string> variants = {
      "{kind: compete, probability: 1, router_loss: 0}",
      "{kind: compete, probability: 1, router_loss: 3, detach: false}",
      "{kind: compete, probability: 1, router_loss: 3, detach: false, target: all}",
      "{kind: compete, probability: 1, router_loss: 3, detach: false, forward: router, chosen_loss: 1}",
      "{kind: compete, probability: 1, router_loss: 0, score: softplus, balance_on: competition}",
      "{kind: compete, probability: 1, version: 2, router_loss: 3, diversity: 2, detach: false}",
      "{kind: compete, probability: 1, version: 2, router_loss: 0, diversity: 2, balance_on: router}",
      "{kind: compete, probability: 1, router_loss: 0, k: 3, score: softplus, weights: share}",
      "{kind: compete, probability: 1, router_loss: 0, balance_on: competition, balance_scale: 0.25}",
      "{kind: stochastic, statistics: running}",
      "{kind: stochastic, statistics: running, uncertainty: 3}",
      "{kind: stochastic, statistics: running, uncertainty: 3, on: inputs, temperature: 0.5, negatives: 3}",
      "{kind: stochastic, statistics: running, uncertainty: 0, noise: 0.5, decay: 0.5}",
      "{kind: hierarchical, group_router: {k: 2}}",
      "{kind: hierarchical, groups: 1, group_router: {k: 1, softmax: all, renormalise: false}}",
      "{kind: hierarchical, group_balance: [{kind: switch, coefficient: 3}, {kind: z, scope: sequence, coefficient: "
      "2}]}",
      "{kind: contrastive, contrast: 3}",
      "{kind: contrastive, contrast: 3, temperature: 0.5, decay: 0.3}",
      "{kind: change, at: 0, first: plain, then: {kind: stochastic, statistics: running, noise: 0.5}}",
      "{kind: change, at: 100%, first: {kind: contrastive, contrast: 3}, then: contrastive}",
      "{kind: change, at: 100%, then: contrastive, first: {kind: change, at: 0, then: {kind: compete, probability: 1, "
      "version: 2, router_loss: 3, diversity: 2, detach: false}}}",
  };
  return variants;
}

// Options that no variant has, because they only decide which updates compete: tests/moe/competition_steps_test.cpp.
inline const std::set<std::string>& options_without_variant() {
  static const std::set<std::string> options = {"compete.draw_every", "compete.max_layers", "compete.warmup"};
  return options;
}

}  // namespace moe::test
