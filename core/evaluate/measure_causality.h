// Whether a trained model looks at what it is to predict, found by trial on the beginning of a split.
#pragma once
#include "core/step/training_state.h"
#include "data/split.h"

namespace moe {

// Of the model at evaluation, on up to two windows of `context` tokens. Collective: all ranks pass the same windows.
// Leaves the routing statistics alone. DataError for a split without tokens enough.
Causality measure_causality(TrainingState& state, const Split& split, int64_t context, int64_t sequences);

}  // namespace moe
