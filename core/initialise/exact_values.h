// A parameter's values outside of a step, on the host: as the optimizer knows them where parameters are rounded.
#pragma once
#include <vector>

#include "core/step/training_state.h"

namespace moe {

// All of this rank's, of a state that is trained, in f32 or bf16.
std::vector<float> exact_values(TrainingState& state, const Parameter& parameter);
void set_exact_values(TrainingState& state, const Parameter& parameter, const std::vector<float>& values);

// Of a group's whole buffer, likewise.
std::vector<float> exact_values(TrainingState& state, ParameterGroup group);
void set_exact_values(TrainingState& state, ParameterGroup group, const std::vector<float>& values);

}  // namespace moe
