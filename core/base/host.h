// The host that this process runs on.
#pragma once
#include <string>

namespace moe {

// Its name, or "unknown".
std::string host_name();

}  // namespace moe
