// What no run can be made of. Training, --dry-run and scripts/compare (through --dry-run) refuse the same
// configurations with the same words, because all of them ask here.
#pragma once
#include "core/tasks/task.h"

namespace moe {

struct RunFacts {
  const TrainConfig& config;
  const Task& task;  // opened
  RunLength length;
  int64_t ranks = 1;
  bool starts = true;  // at step 0; a run that resumes does not need what only its start needed
};

// Throws UsageError for what a run may not ask for; CheckpointError and DataError for what it would start from and
// cannot. Device, memory and the run folder are not looked at.
void check_run(const RunFacts& facts);

}  // namespace moe
