// Measures on the start of a split whether a trained model's loss depends on the tokens that it is to predict.
#pragma once
#include "core/step/training_state.h"
#include "data/split.h"

namespace moe {

// Measures the model in evaluation mode on up to two windows of `context` tokens. Collective: all ranks pass the same
// windows. Does not change the routing statistics. Throws DataError for a split with too few tokens.
Causality measure_causality(TrainingState& state, const Split& split, int64_t context, int64_t sequences);

}  // namespace moe
