// Fills configuration structs from a ConfigNode, strictly: every unknown key, wrong type and value out of range is
// collected and reported at once, with its place and the nearest known key.
#pragma once
#include "core/config/config_tree.h"
#include "core/config/fields.h"

namespace moe {

// Throws UsageError that lists every problem, one a line.
void read_config(const ConfigNode& root, FieldSet& config);

}  // namespace moe
