// Records of metrics.jsonl that an earlier version wrote.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace moe {

// Renames the keys of a record of an earlier schema to those of this version (core/base/metric_keys.h). Records of this
// schema, and values that are no records, stay as they are.
void update_record(nlohmann::json& record);

}  // namespace moe
