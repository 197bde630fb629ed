// What happened to a run's experts (moe.life), as its history tells.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/inspect/run_history.h"

namespace moe {

// A line for each event and layer; empty without events. Of many the latest.
std::string life_text(const RunHistory& history);
// The same as a table of a web page.
std::string life_table(const RunHistory& history);
nlohmann::ordered_json life_json(const RunHistory& history);

}  // namespace moe
