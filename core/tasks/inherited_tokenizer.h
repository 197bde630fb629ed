// The tokenizer that a run on labelled texts does not make for itself.
#pragma once
#include <memory>

#include "core/config/train_config.h"
#include "data/tokenizer.h"

namespace moe {

// That of the run's own last checkpoint, when it goes on; else of the run that init.from names, a language model or a
// classifier of texts; else null. Throws CheckpointError when init.from has none.
std::unique_ptr<Tokenizer> inherited_tokenizer(const TrainConfig& config);

}  // namespace moe
