// Texts of all ranks.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// Collective: the text of each rank, by rank, on every rank.
std::vector<std::string> gather_texts(Communicator& world, const std::string& text);

// The name of this process's host.
std::string host_name();

}  // namespace moe
