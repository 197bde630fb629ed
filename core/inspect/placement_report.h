// Reports on the times at which a run moved experts between ranks (parallel.placement), from its history.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/run_history.h"

namespace moe {

// One line for each time; empty if experts were never moved. Only the latest are listed if there are many.
std::string placement_text(const RunHistory& history);
// The same as a table of a web page.
std::string placement_table(const RunHistory& history);
Json placement_json(const RunHistory& history);

}  // namespace moe
