// Configuration keys that were renamed. They are still read under their old names, with a notice.
#pragma once
#include <string>

#include "core/config/config_tree.h"

namespace moe {

// Gives renamed keys in a tree of a whole configuration their present names. Throws UsageError when both are there.
void rename_old_keys(ConfigNode& root);
// A key as it is called now: "moe.lifecycle.0.below" for "moe.life.0.below". `origin` says in the notice where it was.
std::string present_key(const std::string& key, const std::string& origin);

}  // namespace moe
