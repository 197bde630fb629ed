// A configuration as a flat list of keys and values.
#pragma once
#include <map>
#include <string>

#include "core/config/config_tree.h"
#include "core/config/fields.h"

namespace moe {

// The value of every key, "moe.router.k" -> "2". Numbers that may be schedules are written as schedules, so that a
// constant and another schedule differ in their options.
std::map<std::string, std::string> flat_values(FieldSet& config);
// The same of a tree, with only the keys that it has.
std::map<std::string, std::string> flat_values(const ConfigNode& tree);

}  // namespace moe
