// Measures what a step of several configurations takes on this machine.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/study/study_config.h"

namespace moe {

struct StepTimes {
  std::map<std::string, double> milliseconds;  // median over the rounds
  std::map<std::string, double> relative;      // to the first configuration: median over the rounds of the ratio
  std::string machine;                         // as ComparedRun::machine
};

// Trains each configuration for some steps in each round, and goes round several times with another one first each
// time, so that what changes on the machine meanwhile changes all of them. The schedules have the length of these few
// steps: the mean over a whole run, experts that grow included, is more alike to that than to the run's first steps.
// Nothing after a signal. An Error with the exit code of a training that failed.
std::optional<StepTimes> measure_step_times(const std::vector<StudyConfig>& configs, const std::string& folder,
                                            int64_t ranks, const std::string& seed);

}  // namespace moe
