// The text of tokens that are written one after the other, as it may be shown: in whole characters, up to the first
// stop string.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace moe {

class TextOutput {
 public:
  // `prompt`: the tokens before those that are written.
  TextOutput(const Tokenizer& tokenizer, std::span<const int32_t> prompt, std::vector<std::string> stops);

  // Adds a token, and returns the text that can be shown now. The beginning of a character, and what may become a stop
  // string, are held back.
  std::string add(int32_t token);
  // Returns what was held back. Call it when the text has ended.
  std::string rest();
  // Whether the text ends before a stop string that it contains.
  bool has_stopped() const { return has_stopped_; }
  // Everything that was written, without a stop string.
  const std::string& text() const { return text_; }

 private:
  size_t held_back() const;

  const Tokenizer& tokenizer_;
  std::string bytes_;  // of the prompt and all tokens
  const size_t prompt_bytes_;
  const std::vector<std::string> stops_;
  std::string text_;
  size_t shown_ = 0;
  bool has_stopped_ = false;
};

}  // namespace moe
