// Reads the files of a byte-pair vocabulary in the format that GPT-2 was published in, and their spelling of bytes.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "data/tokenizers/byte_pair.h"

namespace moe {

// Returns whether `folder` is a folder with at least one of the files below.
bool holds_byte_pairs(const std::string& folder);
// Reads encoder.json and vocab.bpe, or vocab.json and merges.txt, from `folder`. Throws DataError for every fault; it
// names the file, and the line where there is one.
BytePairTokenizer::Vocabulary read_byte_pairs(const std::string& folder);

// The bytes that a token's spelling represents: visible Latin-1 characters represent themselves, the 68 other bytes are
// U+0100 and up, in order. Nothing if the spelling has any other character.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);
std::string spelling_of_byte(unsigned char byte);

}  // namespace moe
