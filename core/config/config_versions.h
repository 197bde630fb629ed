// What a configuration of an earlier version means. A method that had one form, ours, may now have its source's form as
// the default, and a word may stand for something else. Configurations that were written before keep their meaning:
// their `config_version` says so, or its absence from the configuration that a run has stored.
#pragma once
#include <cstdint>

#include "core/config/config_tree.h"

namespace moe {

// The version whose meanings a configuration without `config_version` has, unless a run has stored it.
inline constexpr int64_t kConfigVersion = 2;

// For a configuration that a run has stored: sets version 1 where none is given, because runs wrote none then.
void mark_stored(ConfigNode& root);

// Writes what an earlier version meant as it is said today: `form: ours` where the option is absent, another word for a
// word that has changed. Gives a notice for each. A second call changes nothing.
void apply_version(ConfigNode& root);

}  // namespace moe
