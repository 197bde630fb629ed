// The plots of a comparison, as <figure> elements. A configuration's colour is that of its row in the tables.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

std::string difference_plot(const Comparison& comparison);  // paired differences with their intervals
// Quality over the operations of whole runs: the baseline at its costs with its curve, and the configurations.
std::string speedup_curve(const Comparison& comparison);
std::string comparison_curves(const Comparison& comparison);  // means over the seeds, with the range of the seeds

}  // namespace moe
