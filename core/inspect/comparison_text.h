// The comparison as text for a terminal.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

std::string comparison_text(const Comparison& comparison, bool with_measures);
// For scripts: one line per configuration, the best mean first: name, mean quality, FLOPs per token and parameters,
// separated by tabs.
std::string ranking(const Comparison& comparison);

}  // namespace moe
