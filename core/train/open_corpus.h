// The corpus that a configuration names.
#pragma once
#include "core/config/train_config.h"
#include "data/corpus.h"

namespace moe {

Corpus open_corpus(const DataConfig& config);  // throws DataError

}  // namespace moe
