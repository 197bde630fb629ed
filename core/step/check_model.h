// Checks for configurations from which no model can be built. All code that builds a model calls it first: training,
// evaluation of stored runs, benchmarks.
#pragma once
#include "core/config/train_config.h"
#include "core/nn/token_batch.h"

namespace moe {

// Throws UsageError for combinations of keys that do not define a model for samples of this shape. `trains`: the model
// will be trained, so the curriculum must fit it. Members of families (routers, strategies, ...) check their own
// options when they are built.
void check_model(const TrainConfig& config, const SampleShape& sample, bool trains);

}  // namespace moe
