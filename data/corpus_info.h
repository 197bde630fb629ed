// The output of `moe-data info` for a corpus.
#pragma once
#include <string>

#include "data/corpus.h"

namespace moe {

// A table of the splits, and the beginning of the training text as one line of at most 200 characters, in which \n and
// \xNN stand for line ends and for bytes that cannot be printed.
std::string describe_corpus(const Corpus& corpus, int64_t preview_tokens = 200);

}  // namespace moe
