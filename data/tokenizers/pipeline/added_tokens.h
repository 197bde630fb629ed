// The added tokens of a tokenizer.json, which are found in a text before it is cut into words.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/tokenizers/pipeline/normalizer.h"

namespace moe {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;     // a mark, which no text is encoded as
  bool normalized = false;  // it is found in the normalised text
  bool single_word = false, lstrip = false, rstrip = false;
};

// Throws DataError for an id that is negative or too large, and for an empty token.
std::vector<AddedToken> read_added_tokens(const Json& json);

// Finds tokens from left to right; where several begin, the longest. Special tokens are found as the others are, and
// remain text.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // The tokens of `all` that are found in the normalised text, or those that are found in the original one.
  AddedTokenFinder(const std::vector<AddedToken>& all, bool normalized, const TextNormalizer& normalizer);

  // Visits consecutive parts, which together are the text. `token`: null for a part that is text.
  using Visitor = std::function<void(size_t begin, size_t end, const AddedToken* token)>;
  void cut(std::string_view text, const Visitor& visit) const;

 private:
  struct Pattern {
    std::string text;
    AddedToken token;
  };
  const Pattern* longest_at(std::string_view text) const;

  std::array<std::vector<Pattern>, 256> by_first_byte_;  // the longest first
  bool empty_ = true;
};

}  // namespace moe
