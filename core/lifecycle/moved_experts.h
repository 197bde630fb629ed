// Moves experts between the ranks of an expert group within a training state: the weights and everything that the
// optimizer keeps of them.
#pragma once
#include "core/step/training_state.h"

namespace moe {

// Gives the layer the map `next`. Values, master weights and the optimizer's states of each expert that changes its
// rank travel there in one message per stack and pair of ranks, unchanged to the bit and through host memory; each
// group of data-parallel ranks does so by itself. Must be called after an update, when the experts' gradients are zero
// or old. Collective over the expert group, with the same map on every rank.
void move_experts(TrainingState& state, const ProcessGroups& groups, MoELayer& layer, const ExpertMap& next);

}  // namespace moe
