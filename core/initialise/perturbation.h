// Moves all initial values by about a rounding error, to measure how far equal runs drift apart: the scatter of such
// copies of one run is what a comparison cannot see below.
#pragma once
#include "core/step/training_state.h"

namespace moe {

// Multiplies each value by 1 + `size` u, u uniform in [-1, 1] and a function of `seed`, the parameter's name and the
// element, so that it does not depend on the ranks.
void perturb(TrainingState& state, double size, uint64_t seed);

}  // namespace moe
