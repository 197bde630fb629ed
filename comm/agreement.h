// Whether all ranks were given the same things. Ranks that disagree would wait for each other for ever, or train copies
// of the model that drift apart.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// Names and values, for example the keys of a configuration.
using Facts = std::vector<std::pair<std::string, std::string>>;

// Collective. What the first rank that differs from rank 0 has otherwise, with its host, for the user; the same text on
// every rank, empty if all agree. Costs one reduction of a few numbers when they do. `most`: number of facts that are
// named.
std::string disagreement(Communicator& world, const Facts& facts, size_t most = 5);

// Throws UsageError on every rank if the ranks disagree. `what`: "the same configuration".
void require_agreement(Communicator& world, const std::string& what, const Facts& facts);

}  // namespace moe
