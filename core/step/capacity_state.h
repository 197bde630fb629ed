// The state of the capacities of a model's layers, in the form that a checkpoint stores.
#pragma once

#include "core/base/json.h"
#include "core/model/model.h"

namespace moe {

// A list of numbers for each MoE layer, exact to the bit; null if no layer has state.
Json capacity_state(const Model& model);

// Restores the state. Throws CheckpointError, which names `path`, if the state does not fit this model.
void restore_capacity_state(Model& model, const Json& state, const std::string& path);

}  // namespace moe
