#include "core/base/json.h"
#include "core/base/json.h"  // Records of metrics.jsonl that an earlier version wrote.
#pragma once

namespace moe {

// Renames the keys of a record of an earlier schema to those of this version (core/base/metric_keys.h). Records of this
// schema, and values that are no records, stay as they are.
void update_record(Json& record);

}  // namespace moe
