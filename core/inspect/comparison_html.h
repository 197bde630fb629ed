// The comparison as one self-contained web page: no scripts, no other files.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

std::string comparison_html(const Comparison& comparison, bool with_measures);

}  // namespace moe
