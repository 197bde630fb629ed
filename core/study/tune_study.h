// scripts/tune: sweeps a key for each configuration at two small sizes, fits how the optimum changes with the width and
// checks the fit at a third size.
#pragma once
#include <string>
#include <vector>

#include "core/study/compare_study.h"
#include "core/study/sizes.h"

namespace moe {

struct TuneOptions {
  CompareOptions compare;           // the configurations to tune
  std::vector<ModelSize> sizes;     // two or three
  std::vector<std::string> sweeps;  // KEY=V1|V2|V3..., each on its own; positive numbers
};

// Trains what is not trained, prints the optima, writes DIR/tune.json (core/inspect/tuning.h) and returns the program's
// exit code. Throws UsageError, CheckpointError.
int run_tune(const TuneOptions& options);

}  // namespace moe
