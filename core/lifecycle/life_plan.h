// What moe.life can make of a run's experts, known before it starts: so that nothing is refused in mid-run, and memory
// is planned for the largest.
#pragma once
#include <set>

#include "core/lifecycle/expert_life.h"

namespace moe {

// All numbers that the run may have, those of the start among them. Events that wait for the experts' use are taken to
// happen at any time or never. Throws UsageError as the events do.
std::set<LayerNumbers> possible_experts(const ModelConfig& model, const MoEConfig& moe, const RunLength& run);

// Throws UsageError where the configuration asks for what it cannot have: a router with other experts, ranks without
// experts, an event that the curriculum never brings about.
// `samples`: of the training split.
void check_life(const TrainConfig& config, const SampleShape& sample, const RunLength& run, int64_t samples,
                int64_t ranks);

}  // namespace moe
