// A comparison as comma-separated values, one line per run, for spreadsheets and statistics programs.
#pragma once
#include <string>

#include "core/inspect/comparison.h"

namespace moe {

// All runs that were found, those that are left out with the reason. An absent figure is an empty field. Fields are
// quoted as RFC 4180 says.
std::string comparison_csv(const Comparison& comparison);

}  // namespace moe
