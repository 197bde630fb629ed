// scripts/compare --plan: how many seeds show a difference, and how long they take, before they are trained.
#pragma once
#include "core/study/compare_study.h"

namespace moe {

// Prints the plan from the scatter of the runs that are in the folder, and returns the program's exit code. Trains
// nothing but, for configurations without a run on this machine, a few steps that are timed. Throws UsageError where no
// runs show a scatter.
int run_plan(const CompareOptions& options, double difference);

}  // namespace moe
