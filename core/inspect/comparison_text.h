// The comparison for a terminal.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

std::string comparison_text(const Comparison& comparison, bool with_measures);

}  // namespace moe
