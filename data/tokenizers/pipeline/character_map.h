// The compiled normalisation of SentencePiece, as a tokenizer.json has it in its normaliser Precompiled: a tree of
// sequences of bytes (darts-clone's double array), and what each of them becomes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/pipeline/aligned_text.h"

namespace moe {

class CharacterMap {
 public:
  // Throws DataError for bytes that are no such map.
  explicit CharacterMap(std::string_view bytes);

  // What the shortest sequence at the beginning of `text` becomes, for all of `text`: so does Hugging Face's library.
  std::optional<std::string_view> find(std::string_view text) const;
  // Replaces short grapheme clusters that are in the map, then single characters.
  AlignedText apply(const AlignedText& text) const;

 private:
  std::vector<uint32_t> units_;
  std::string results_;  // each ended by the byte 0
};

}  // namespace moe
