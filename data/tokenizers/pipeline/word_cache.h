// The tokens of words that were encoded before: most words of a text have occurred already.
#pragma once
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/pipeline/model.h"

namespace moe {

class WordCache {
 public:
  static constexpr size_t kLongestWord = 48;  // bytes; longer words are rare

  // The tokens of `word`, by `encode` if they are not known. Valid until the next call.
  template <class Encode>
  std::span<const TokenPart> find(std::string_view word, const Encode& encode) {
    Entry& entry = entries_[std::hash<std::string_view>()(word) % entries_.size()];
    if (!entry.known || entry.word != word) {
      entry.known = false;
      entry.word = word;
      entry.parts.clear();
      encode(entry.parts);
      entry.known = true;
    }
    return entry.parts;
  }

 private:
  struct Entry {
    bool known = false;
    std::string word;
    std::vector<TokenPart> parts;
  };
  std::vector<Entry> entries_ = std::vector<Entry>(size_t{1} << 16);
};

}  // namespace moe
