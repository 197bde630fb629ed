// The inspection as JSON, for other programs.
#pragma once

#include "core/base/json.h"
#include "core/inspect/inspection.h"

namespace moe {

constexpr int kInspectionSchema = 1;

Json json_report(const Inspection& inspection);

}  // namespace moe
