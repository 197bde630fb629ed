// The inspection as text for a terminal: a table with one line per MoE layer, and each layer's experts as a row of
// bars.
#pragma once
#include <string>

#include "core/inspect/inspection.h"

namespace moe {

// Lines have at most 80 columns, not counting folder names. `colour`: with escape sequences.
std::string text_report(const Inspection& inspection, bool colour);

}  // namespace moe
