// Learns byte pairs from a text (Sennrich et al., 2016): the pair of neighbours that is most frequent within words
// becomes a token, again and again.
#pragma once
#include <cstdint>

#include "data/tokenizer.h"
#include "data/tokenizers/byte_pair.h"

namespace moe {

// A vocabulary of at most `vocab_size` tokens: all bytes, then the merges, then the mark that ends a document; fewer if
// no pair occurs twice any more. Of equally frequent pairs the one with the lower ids is first, so equal texts give
// equal vocabularies. Throws UsageError for fewer than 257 tokens.
BytePairTokenizer::Vocabulary learn_byte_pairs(const TrainingText& text, int64_t vocab_size);

}  // namespace moe
