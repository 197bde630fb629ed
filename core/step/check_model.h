// What no model can be built from. Everything that builds a model calls it first: training, stored runs that are
// evaluated in other ways, benchmarks.
#pragma once
#include "core/config/train_config.h"
#include "core/nn/token_batch.h"

namespace moe {

// Throws UsageError for combinations of keys that make no model for samples of this shape. `trains`: the model is
// trained, so the curriculum must suit it. Members of families (routers, strategies, ...) refuse what does not suit
// them when they are made.
void check_model(const TrainConfig& config, const SampleShape& sample, bool trains);

}  // namespace moe
