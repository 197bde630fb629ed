// Fixes the number of steps of each configuration of a comparison so that all cost the same: before the first run, and
// for all runs and processes of the study.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/equal_cost.h"
#include "core/study/study_config.h"

namespace moe {

struct FixRequest {
  std::string folder;
  EqualCost equal = EqualCost::tokens;
  int64_t ranks = 1;
  std::string seed = "1";                   // of the runs whose steps are timed
  std::string baseline;                     // name of the first configuration of the study
  const std::vector<StudyConfig>& configs;  // of this call
};

// Adds the configurations to the study's file. Those that it has must be as they were: a UsageError names the keys that
// differ. Nothing after a signal. With equal seconds it trains a few steps of each new configuration and of the
// baseline, in turns (core/study/step_times.h).
std::optional<StudyCosts> fix_steps(const FixRequest& request);

}  // namespace moe
