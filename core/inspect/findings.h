// What the runs of a comparison show: differences, verdicts, speedups, noise.
#pragma once
#include "core/inspect/comparison.h"

namespace moe {

// Compares every configuration with the baseline, and adds remarks. `c` has its runs, configurations and baseline.
void add_findings(Comparison& c, const StudyCosts& costs);

}  // namespace moe
