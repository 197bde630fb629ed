// The effects that moe.lifecycle can have on a run's experts, computed before it starts, so that a run is not refused
// in the middle and memory is planned for the largest number of experts.
#pragma once
#include <set>

#include "core/lifecycle/expert_lifecycle.h"

namespace moe {

// All numbers that the run may have, including those at the start. Events that depend on the experts' use are assumed
// to happen at any time or never. Throws the UsageErrors of the events.
std::set<LayerNumbers> possible_experts(const ModelConfig& model, const MoEConfig& moe, const RunLength& run);

// Throws UsageError for a configuration that cannot run: a router that does not support the numbers of experts, ranks
// without experts, an event that the curriculum never triggers.
// `samples`: number of samples in the training split.
void check_lifecycle_plan(const TrainConfig& config, const SampleShape& sample, const RunLength& run, int64_t samples,
                          const RankCounts& ranks);

}  // namespace moe
