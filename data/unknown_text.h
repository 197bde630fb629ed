// Text that a tokenizer has no token for and replaced by its unknown token, <unk>: how much it is, and what it costs.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moe {

// Counts only what the tokenizer replaced. A text that spells <unk> itself, as PTB and WikiText do, has lost nothing.
struct UnknownText {
  int64_t tokens = 0;  // unknown tokens
  int64_t bytes = 0;   // of the text that they replace
  double share_of(int64_t all_tokens) const {
    return all_tokens > 0 ? static_cast<double>(tokens) / static_cast<double>(all_tokens) : 0;
  }
  bool operator==(const UnknownText&) const = default;
};

// The bits that spell such text out, so that bits per character are those of a code for the whole text: after each
// unknown token its bytes follow, 8 bits each, and a line end, which occurs in no token's text, as end mark.
inline double spelling_bits(const UnknownText& text) {
  return 8.0 * static_cast<double>(text.bytes + text.tokens);
}

// "12 unknown tokens (0.3%)", of `tokens` in all.
std::string unknown_in_words(const UnknownText& unknown, int64_t tokens);

struct UnknownShare {
  std::string name;  // of a split
  double share = 0;  // of its tokens that are unknown
};
// "unknown tokens: 12% of train, 21% of validation": of the splits that have any; empty where none has.
std::string unknown_in_words(const std::vector<UnknownShare>& splits);
// A sentence that warns of the splits with more than that share of unknown tokens; nothing where there are none.
constexpr double kDoubtfulUnknown = 0.01;
std::optional<std::string> doubt_of_unknown(const std::vector<UnknownShare>& splits);

}  // namespace moe
