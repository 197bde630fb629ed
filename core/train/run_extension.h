// The length of a run that goes on with another train.steps than it was planned for (train.extend).
#pragma once
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/config/train_config.h"

namespace moe {

struct RunEnd {
  // The length that schedules and shares of the run refer to.
  RunLength planned;
  // The number of updates after which the run ends. It may be smaller than the number already made.
  int64_t updates = 0;
};

// The keys whose values at the updates still to come depend on which of the two lengths the run has, one line for each.
std::vector<std::string> length_dependence(const TrainConfig& config, const RunLength& before, const RunLength& after,
                                           int64_t step);

// The length of a run that resumes from `state`, of which `wanted` is the configured length. Throws CheckpointError for
// another length than planned if the result depends on it and train.extend does not say which one counts. `path`: the
// checkpoint, for messages.
RunEnd extend_run(const TrainConfig& config, const RunLength& wanted, const RunState& state, const std::string& path);

}  // namespace moe
