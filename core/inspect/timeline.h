// A picture of what one rank did in one update: a lane for computing and one for each kind of communication.
#pragma once
#include <string>

#include "core/inspect/run_history.h"

namespace moe {

// Empty without events or phases.
std::string draw(const Timeline& timeline);

}  // namespace moe
