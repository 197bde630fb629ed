// Reports on what the ranks of a run sent (log.communication), from its history.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/run_history.h"

namespace moe {

// The latest recorded update by kind; empty if none was recorded.
std::string communication_text(const RunHistory& history);
// The latest recorded update by kind and layer, and the timeline, as parts of a web page.
std::string communication_section(const RunHistory& history);
Json communication_json(const RunHistory& history);

}  // namespace moe
