// Which runs a comparison may compare: those that differ in their configuration, and in nothing that favours one.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/compared_run.h"
#include "core/inspect/equal_cost.h"
#include "core/record/run_folder.h"

namespace moe {

void leave_out(ComparedRun& run, ComparedRun::Standing standing, std::string reason);

// Differences of two runs' configurations; without the seed, and without options that appear or disappear because the
// kind of a choice differs.
std::vector<ConfigDifference> essential_differences(const ComparedRun& one, const ComparedRun& other);

// Leaves a fair run out, with the reason, if its settings are not those of the baseline's first run, or its
// configuration not that of `sibling`, the first run of its own; null for that one. A run at another cost may differ
// from them in its length.
void judge_fairness(ComparedRun& run, const ComparedRun& reference, const ComparedRun* sibling,
                    const StudyCosts& costs);

}  // namespace moe
