// The inspection as JSON, for other programs.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/inspect/inspection.h"

namespace moe {

constexpr int kInspectionSchema = 1;

nlohmann::ordered_json json_report(const Inspection& inspection);

}  // namespace moe
