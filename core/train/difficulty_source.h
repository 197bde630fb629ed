// The initial difficulty store of a run (curriculum.from).
#pragma once
#include <string>

#include "core/config/curriculum_config.h"

namespace moe {

// The file that curriculum.from refers to: the given file, or that of a run's last checkpoint; empty if the key is not
// set. Throws CheckpointError if there is no such file.
std::string find_difficulties(const CurriculumConfig& config);

}  // namespace moe
