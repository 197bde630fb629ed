// The output of `moe-data info` for a corpus.
#pragma once
#include <string>

#include "data/corpus.h"

namespace moe {

// A table of the splits, and the beginning of the training text with unprintable bytes as \xNN.
std::string describe_corpus(const Corpus& corpus, int64_t preview_tokens = 200);

}  // namespace moe
