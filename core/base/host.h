// The host that this process runs on.
#pragma once
#include <string>

namespace moe {

// Its name, or "unknown".
std::string host_name();

// A text that no other process of any machine writes, and no later one.
std::string unique_token();

}  // namespace moe
