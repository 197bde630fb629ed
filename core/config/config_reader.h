// Fills configuration structs from a ConfigNode, strictly: every unknown key, wrong type and value out of range is
// collected and reported at once, with its place and the nearest known key.
#pragma once
#include <string>
#include <vector>

#include "core/config/config_tree.h"
#include "core/config/fields.h"

namespace moe {

// Throws UsageError that lists every problem, one a line.
void read_config(const ConfigNode& root, FieldSet& config);
// Reads over what the configuration has, as a second file is read over a first: options of a kind that stays are kept.
// `key`: of the node, "moe.layers.0"; `allowed`: its keys.
void read_config_over(const ConfigNode& node, const std::string& key, const std::vector<std::string>& allowed,
                      FieldSet& config);

}  // namespace moe
