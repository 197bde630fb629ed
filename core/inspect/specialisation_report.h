// Reports on the specialisation of experts: a table for a terminal, a section of the web page, JSON.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/inspection.h"

namespace moe {

// All three return nothing (JSON: null) where nothing was measured.
std::string specialisation_text(const Inspection& inspection);
std::string specialisation_section(const Inspection& inspection);
Json specialisation_json(const Inspection& inspection);

}  // namespace moe
