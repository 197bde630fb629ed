// Finds by experiment which tokens a token's output depends on, to check what routers and strategies declare.
#pragma once
#include <functional>
#include <vector>

#include "core/moe/router_traits.h"

namespace moe {

// Outputs of sequences * time tokens (the same number of values for each token) when the tokens marked in `changed` are
// replaced by others. The replacements are the same in every call.
using TokenOutputs = std::function<std::vector<double>(const std::vector<bool>& changed)>;

// For a few positions in each sequence, changes all tokens from there on and compares the outputs with the unchanged
// ones. A difference before the position means not causal; a difference in another sequence means dependence on the
// batch. Differences up to `tolerance` of the output's size count as rounding. A dependency that has no effect for the
// given tokens is not found.
Causality probe_causality(int64_t sequences, int64_t time, const TokenOutputs& outputs, double tolerance);

}  // namespace moe
