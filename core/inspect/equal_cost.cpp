#include "core/inspect/equal_cost.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"

namespace moe {
namespace {

constexpr const char* kNames[] = {"tokens", "flops", "seconds"};

std::string file_of(const std::string& folder) {
  return folder + "/study.json";
}

}  // namespace

const char* name_of(EqualCost equal) {
  return kNames[as_index(equal)];
}

EqualCost equal_cost_of(const std::string& word) {
  for (const EqualCost equal : {EqualCost::tokens, EqualCost::flops, EqualCost::seconds}) {
    if (word == name_of(equal)) return equal;
  }
  raise<UsageError>("equal: {} is not tokens, flops or seconds", word);
}

StudyCosts read_study_costs(const std::string& folder) {
  StudyCosts costs;
  if (!file_exists(file_of(folder))) return costs;
  try {
    const Json file = parse_json(read_text(file_of(folder)));
    costs.equal = equal_cost_of(file.at("equal").get<std::string>());
    costs.baseline = file.at("baseline").get<std::string>();
    costs.machine = file.value("machine", "");
    for (const auto& [name, fixed] : file.at("configs").items()) {
      costs.configs[name] = {.steps = fixed.at("steps").get<int64_t>(),
                             .step_cost = fixed.at("step_cost").get<double>(),
                             .tokens_per_step = fixed.at("tokens_per_step").get<double>(),
                             .flops_per_token = fixed.at("flops_per_token").get<double>(),
                             .milliseconds = fixed.value("milliseconds", 0.0)};
    }
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", file_of(folder), error.what());
  } catch (const UsageError& error) {
    raise<CheckpointError>("{} is damaged: {}", file_of(folder), error.what());
  }
  return costs;
}

void write_study_costs(const StudyCosts& costs, const std::string& folder) {
  Json configs = Json::object();
  for (const auto& [name, fixed] : costs.configs) {
    configs[name] = {{"steps", fixed.steps},
                     {"step_cost", fixed.step_cost},
                     {"tokens_per_step", fixed.tokens_per_step},
                     {"flops_per_token", fixed.flops_per_token}};
    if (costs.equal == EqualCost::seconds) configs[name]["milliseconds"] = fixed.milliseconds;
  }
  Json file{{"equal", name_of(costs.equal)}, {"baseline", costs.baseline}};
  if (!costs.machine.empty()) file["machine"] = costs.machine;
  file["configs"] = configs;
  replace_shared_text(file_of(folder), json_text_replacing(file, 1) + "\n");
}

int64_t steps_of_equal_cost(int64_t baseline_steps, double step_cost) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(baseline_steps) / step_cost));
}

std::vector<std::string> cost_differences(const StudyCosts& costs, const RunCost& run, const RunCost& reference) {
  std::vector<std::string> reasons;
  const auto fixed = costs.configs.find(run.config), base = costs.configs.find(reference.config);
  if (fixed == costs.configs.end() || base == costs.configs.end()) {
    const std::string& name = fixed == costs.configs.end() ? run.config : reference.config;
    return {fmt::format("study.json does not say how many steps of {} have an equal cost", name)};
  }
  if (run.updates != static_cast<double>(fixed->second.steps))
    reasons.push_back(fmt::format("updates {:.0f} instead of {} (study.json)", run.updates, fixed->second.steps));
  double step = fixed->second.step_cost, reference_step = base->second.step_cost;
  if (costs.equal == EqualCost::flops) {
    step = run.tokens_per_update * run.flops_per_token;
    reference_step = reference.tokens_per_update * reference.flops_per_token;
  } else if (run.machine != costs.machine) {
    reasons.push_back(
        fmt::format("trained on {} instead of {}, where the times of steps were measured", run.machine, costs.machine));
  }
  const double cost = run.updates * step, expected = reference.updates * reference_step;
  if (reasons.empty() && !(std::abs(cost - expected) <= std::max(step, reference_step))) {
    reasons.push_back(fmt::format("its cost is {:.4g} times that of {}, which is more than one step away",
                                  cost / expected, reference.config));
  }
  return reasons;
}

}  // namespace moe
