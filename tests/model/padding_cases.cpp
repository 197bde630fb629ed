#include "tests/model/padding_cases.h"

#include <fmt/format.h>

#include <map>

#include "core/config/moe_config.h"

namespace moe::test {

// Options without which a kind has nothing to do or is refused.
static std::string options_of(const std::string& kind) {
  static const std::map<std::string, std::string> options{{"hierarchical", ", groups: 2"},
                                                          {"change", ", at: 1, first: plain, then: contrastive"},
                                                          {"fixed", ", factor: 0.6"}};
  const auto found = options.find(kind);
  return found == options.end() ? "" : found->second;
}

std::vector<std::string> padding_cases() {
  std::vector<std::string> cases{
      "moe: {balance: [{kind: switch, scope: sequence}, {kind: z, scope: rank}, importance, entropy, gshard, kl]}",
      "moe: {router: {kind: expert_choice, group: position}}",
      "moe: {router: {kind: expert_choice, group: batch}}",
      "moe: {router: {kind: sinkhorn, group: batch}}",
      "moe: {router: {kind: sigmoid_bias, groups: 2, group_limit: 1}}",
      "moe: {router: {kind: topk, k: 3}, capacity: {kind: fixed, factor: 0.4, evaluation: 0.4, drop: score, "
      "renormalise: "
      "true}}",
      "moe: {capacity: {kind: fixed, factor: 0.6, evaluation: 0.6, group: batch, drop: score}}",
      "moe: {capacity: {kind: fixed, factor: 0.6, evaluation: 0.6, group: position}}",
      "moe: {strategy: {kind: compete, probability: 1}}",
      "moe: {strategy: {kind: compete, version: 2, probability: 1}}",
      "moe: {strategy: {kind: stochastic, noise: 0, statistics: sequence}}",
      "moe: {strategy: {kind: hierarchical, groups: 2, group_balance: [switch]}, router: {kind: relu}}"};
  for (const std::string& kind : family<Router>().names()) {
    cases.push_back(fmt::format("moe: {{router: {{kind: {}{}}}}}", kind, options_of(kind)));
  }
  for (const std::string& kind : family<Strategy>().names()) {
    cases.push_back(fmt::format("moe: {{strategy: {{kind: {}{}}}}}", kind, options_of(kind)));
  }
  for (const std::string& kind : family<Capacity>().names()) {
    if (kind == "dropless") continue;  // the default, without options
    cases.push_back(fmt::format("moe: {{capacity: {{kind: {}{}, evaluation: 0.6}}}}", kind, options_of(kind)));
  }
  for (const std::string& kind : family<BalanceLoss>().names()) {
    const char* router = kind == "load" ? "noisy_topk" : "topk";  // only its noise makes a smooth load
    cases.push_back(fmt::format("moe: {{balance: [{}], router: {}}}", kind, router));
  }
  return cases;
}

bool depends_on_batch(const std::string& yaml) {
  return yaml.find("group: batch") != std::string::npos || yaml.find("group: position") != std::string::npos ||
         yaml.find("kind: random}") != std::string::npos;
}

}  // namespace moe::test
