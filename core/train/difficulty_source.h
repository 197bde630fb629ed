// The difficulties that a run starts with (curriculum.from).
#pragma once
#include <string>

#include "core/config/curriculum_config.h"

namespace moe {

// The file that curriculum.from means: itself, or that of a run's last checkpoint; empty where it is not given. Throws
// CheckpointError where there is none.
std::string find_difficulties(const CurriculumConfig& config);

}  // namespace moe
