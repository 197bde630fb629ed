// The tokenizer that a run on labelled texts takes from a checkpoint instead of making it.
#pragma once
#include <memory>

#include "core/config/train_config.h"
#include "data/tokenizer.h"

namespace moe {

// Returns the tokenizer of the run's own last checkpoint when it resumes; else that of the run in init.from, a language
// model or a classifier of texts; else null. Throws CheckpointError when init.from has none.
std::unique_ptr<Tokenizer> inherited_tokenizer(const TrainConfig& config);

}  // namespace moe
