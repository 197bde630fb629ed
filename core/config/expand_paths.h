// Home folders and variables in the paths of a configuration.
#pragma once
#include <string>

#include "core/config/train_config.h"

namespace moe {

// Replaces a leading `~` or `~/` by the home folder, `$NAME` and `${NAME}` by the environment's variables, and `$$` by
// a dollar sign. `where` begins the UsageError for a variable that is not set and for `~name`, another user's home.
std::string expand_path(const std::string& path, const std::string& where);

// The same for name, folder and every key that names an input. Call it once, on what the user wrote: a run stores the
// result.
void expand_paths(TrainConfig& config);

}  // namespace moe
