// Reports on the events of a run's experts (moe.lifecycle), from its history.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/run_history.h"

namespace moe {

// One line per event and layer; empty without events. Only the latest events are listed if there are many.
std::string lifecycle_text(const RunHistory& history);
// The same as a table of a web page.
std::string lifecycle_table(const RunHistory& history);
Json lifecycle_json(const RunHistory& history);

}  // namespace moe
