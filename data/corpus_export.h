// The output of `moe-data export`: the text of a split, for another program to read.
#pragma once
#include <cstdio>

#include "data/corpus.h"

namespace moe {

// Writes the bytes that the leading `num_tokens` tokens of the split stand for (0 = all tokens) and returns the number
// of bytes. Throws DataError when they cannot be written.
int64_t export_text(const Split& split, const Tokenizer& tokenizer, int64_t num_tokens, std::FILE* out);

}  // namespace moe
