// Opens the corpus that a configuration names.
#pragma once
#include "core/config/train_config.h"
#include "data/corpus.h"

namespace moe {

Corpus open_corpus(const DataConfig& config);  // throws DataError

// The same for a model that was trained with `tokenizer`. Throws DataError for a corpus with another one.
Corpus open_corpus(const DataConfig& config, const Tokenizer& tokenizer);

}  // namespace moe
