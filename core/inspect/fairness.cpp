#include "core/inspect/fairness.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "core/base/text.h"

namespace moe {
namespace {

using Standing = ComparedRun::Standing;

// The key that a run's length is.
constexpr const char* kLengthKey = "train.steps";

// Removes the options that appear or disappear because the kind of a choice differs.
std::vector<ConfigDifference> essential(std::vector<ConfigDifference> all) {
  std::vector<std::string> choices;
  for (const ConfigDifference& d : all) {
    if (d.key.ends_with(".kind")) choices.push_back(d.key.substr(0, d.key.size() - 4));
  }
  std::erase_if(all, [&](const ConfigDifference& d) {
    return std::any_of(choices.begin(), choices.end(), [&](const std::string& choice) {
      return d.key.starts_with(choice) && d.key != choice + "kind";
    });
  });
  return all;
}

RunCost cost_of(const ComparedRun& run) {
  return {.config = run.config,
          .machine = run.machine,
          .updates = run.updates,
          .tokens_per_update = run.tokens_per_update,
          .flops_per_token = run.flops_per_token};
}

}  // namespace

void leave_out(ComparedRun& run, Standing standing, std::string reason) {
  run.standing = standing;
  run.reason = std::move(reason);
}

std::vector<ConfigDifference> essential_differences(const ComparedRun& one, const ComparedRun& other) {
  std::vector<ConfigDifference> result = config_differences(one.configuration, other.configuration);
  std::erase_if(result, [](const ConfigDifference& d) { return d.key == "seed"; });
  return essential(std::move(result));
}

void judge_fairness(ComparedRun& run, const ComparedRun& reference, const ComparedRun* sibling,
                    const StudyCosts& costs) {
  std::vector<std::string> reasons;
  const bool by_terms = costs.equal == EqualCost::tokens;
  if (!by_terms && !run.has_other_cost) reasons = cost_differences(costs, cost_of(run), cost_of(reference));
  for (size_t i = 0; i < run.terms.size(); ++i) {
    const auto& [name, value] = run.terms[i];
    if (run.has_other_cost && name == kUpdates) continue;
    if (!by_terms && (name == kUpdates || name == kTokensPerUpdate)) continue;
    const std::string& expected = reference.terms[i].second;
    if (value != expected) reasons.push_back(fmt::format("{} {} instead of {}", name, value, expected));
  }
  if (!reasons.empty()) {
    return leave_out(run, Standing::unfair, fmt::format("{} ({})", join(reasons, ", "), reference.name));
  }
  if (!sibling) return;
  if (run.seed == sibling->seed && !run.has_other_cost) {
    return leave_out(run, Standing::unreadable, fmt::format("a second run with the seed of {}", sibling->name));
  }
  for (const ConfigDifference& d : essential_differences(*sibling, run)) {
    if (!run.has_other_cost || d.key != kLengthKey) reasons.push_back(d.to_string());
  }
  if (!reasons.empty()) {
    leave_out(run, Standing::unfair,
              fmt::format("another configuration than {}: {}", sibling->name, join(reasons, ", ")));
  }
}

}  // namespace moe
