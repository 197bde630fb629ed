// Finds by trial what a token's output depends on, to be held against what routers and strategies say of themselves.
#pragma once
#include <functional>
#include <vector>

#include "core/moe/router_traits.h"

namespace moe {

// Outputs of sequences * time tokens, the same number for each, when the tokens marked in `changed` are replaced by
// others; what they are replaced by is the same in every call.
using TokenOutputs = std::function<std::vector<double>(const std::vector<bool>& changed)>;

// In each sequence, for a few places, everything from there on is changed, and the outputs are compared with the
// unchanged ones: before the place (not causal), and in the other sequences (depends on the batch). Differences up to
// `tolerance` of the output's size are rounding. A dependency that the given tokens do not show is not found.
Causality probe_causality(int64_t sequences, int64_t time, const TokenOutputs& outputs, double tolerance);

}  // namespace moe
