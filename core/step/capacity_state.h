// The state of the capacities of a model's layers, in the form that a checkpoint stores.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/model/model.h"

namespace moe {

// A list of numbers for each MoE layer, exact to the bit; null if no layer has state.
nlohmann::json capacity_state(const Model& model);

// Restores the state. Throws CheckpointError, which names `path`, if the state does not fit this model.
void restore_capacity_state(Model& model, const nlohmann::json& state, const std::string& path);

}  // namespace moe
