// What the compared runs of a folder have in common as their cost, and the numbers of steps that follow from it. They
// are fixed before the first run and kept in the folder's file study.json (core/study/fixed_steps.h).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace moe {

// Tokens: no file is needed, because the runs have equal numbers of updates of equal size.
enum class EqualCost { tokens, flops, seconds };

const char* name_of(EqualCost equal);
// Throws UsageError for another word.
EqualCost equal_cost_of(const std::string& word);

struct FixedSteps {
  int64_t steps = 0;
  double step_cost = 1;  // of one step, in steps of the baseline
  double tokens_per_step = 0, flops_per_token = 0;
  double milliseconds = 0;  // seconds: of a step, when it was measured; the baseline's own is that of the first time
};

struct StudyCosts {
  EqualCost equal = EqualCost::tokens;
  std::string baseline;
  std::string machine;  // seconds: where the times were measured, as ComparedRun::machine
  std::map<std::string, FixedSteps> configs;
};

// The costs of the study in a folder; equal tokens where it has no file. Throws CheckpointError for a damaged file.
StudyCosts read_study_costs(const std::string& folder);
void write_study_costs(const StudyCosts& costs, const std::string& folder);  // throws CheckpointError

// How often a step of this cost, in steps of the baseline, goes into a number of them; at least 1.
int64_t steps_of_equal_cost(int64_t baseline_steps, double step_cost);

// A run, as far as its cost is concerned.
struct RunCost {
  std::string config, machine;
  double updates = 0, tokens_per_update = 0, flops_per_token = 0;
};
// Why a run's cost is not the reference's; empty if it is, to within one step.
std::vector<std::string> cost_differences(const StudyCosts& costs, const RunCost& run, const RunCost& reference);

}  // namespace moe
