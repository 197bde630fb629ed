// The files of a byte-pair vocabulary as GPT-2 was published with, and the spelling of bytes in them.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "data/tokenizers/byte_pair.h"

namespace moe {

// encoder.json and vocab.bpe, or vocab.json and merges.txt, in `folder`. Everything wrong is a DataError that names
// the file, and the line where there is one.
BytePairTokenizer::Vocabulary read_byte_pairs(const std::string& folder);

// The bytes that a token's spelling stands for: visible Latin-1 characters stand for themselves, the 68 other bytes are
// U+0100 and on, in their order. Nothing where another character is in it.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);
std::string spelling_of_byte(unsigned char byte);

}  // namespace moe
