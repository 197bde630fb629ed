// Fills configuration structs from a ConfigNode, strictly: all unknown keys, wrong types and values out of range are
// collected and reported together, each with its place and, for keys, the nearest known key.
#pragma once
#include <string>
#include <vector>

#include "core/config/config_tree.h"
#include "core/config/fields.h"

namespace moe {

// Throws UsageError that lists all problems, one per line.
void read_config(const ConfigNode& root, FieldSet& config);
// Reads on top of the configuration's current values, as a second file is read on top of a first: if a kind stays the
// same, its options are kept. `key`: the node's key, e.g. "moe.layers.0"; `allowed`: the keys that it may contain.
void read_config_over(const ConfigNode& node, const std::string& key, const std::vector<std::string>& allowed,
                      FieldSet& config);

}  // namespace moe
