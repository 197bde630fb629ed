// The plots of a comparison, as <figure> elements. A configuration has the colour of its place in the tables.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

constexpr size_t kComparisonColours = 8;

std::string difference_plot(const Comparison& comparison);    // paired differences with their intervals
std::string comparison_curves(const Comparison& comparison);  // means over the seeds, with the band of the seeds

}  // namespace moe
