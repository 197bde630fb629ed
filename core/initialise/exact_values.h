// A parameter's values outside of a step, on the host. Where parameters are rounded, the values are the optimizer's
// master weights.
#pragma once
#include <vector>

#include "core/step/training_state.h"

namespace moe {

// All of this rank's values, for a state in training in f32 or bf16.
std::vector<float> exact_values(TrainingState& state, const Parameter& parameter);
void set_exact_values(TrainingState& state, const Parameter& parameter, const std::vector<float>& values);

// The same for a group's whole buffer.
std::vector<float> exact_values(TrainingState& state, ParameterGroup group);
void set_exact_values(TrainingState& state, ParameterGroup group, const std::vector<float>& values);

}  // namespace moe
