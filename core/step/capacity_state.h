// What the capacities of a model's layers remember, as a checkpoint keeps it.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/model/model.h"

namespace moe {

// A list of numbers for each MoE layer, exact to the bit; null when no layer remembers anything.
nlohmann::json capacity_state(const Model& model);

// Puts it back. Throws CheckpointError, which names `path`, when it was not written by such a model.
void restore_capacity_state(Model& model, const nlohmann::json& state, const std::string& path);

}  // namespace moe
