// Checks for configurations that no run can use. Training, --dry-run and scripts/compare (through --dry-run) all call
// it, so that they reject the same configurations with the same messages.
#pragma once
#include "core/tasks/task.h"

namespace moe {

struct RunFacts {
  const TrainConfig& config;
  const Task& task;  // must be open
  RunLength length;
  RankCounts ranks{};
  bool starts = true;  // the run starts at step 0; a resumed run skips checks of inputs that only the start needs
};

// Throws UsageError for an invalid configuration, CheckpointError and DataError for inputs that the run cannot start
// from. Does not check device, memory and the run folder.
void check_run(const RunFacts& facts);

}  // namespace moe
