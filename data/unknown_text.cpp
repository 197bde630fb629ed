#include "data/unknown_text.h"

#include <fmt/core.h>

#include "core/base/text.h"

namespace moe {

std::string unknown_in_words(const UnknownText& unknown, int64_t tokens) {
  return fmt::format("{} unknown tokens ({:.2g}%)", unknown.tokens, 100 * unknown.share_of(tokens));
}

std::string unknown_in_words(const std::vector<UnknownShare>& splits) {
  std::vector<std::string> shares;
  for (const UnknownShare& split : splits) {
    if (split.share > 0) shares.push_back(fmt::format("{:.2g}% of {}", 100 * split.share, split.name));
  }
  return shares.empty() ? "" : "unknown tokens: " + join(shares, ", ");
}

std::optional<std::string> doubt_of_unknown(const std::vector<UnknownShare>& splits) {
  std::vector<std::string> shares;
  for (const UnknownShare& split : splits) {
    if (split.share > kDoubtfulUnknown)
      shares.push_back(fmt::format("{:.1f}% of split {}", 100 * split.share, split.name));
  }
  if (shares.empty()) return std::nullopt;
  return fmt::format(
      "tokens of text that the tokenizer does not know (<unk>): {}. What it says is lost, and <unk> is easy to "
      "predict. "
      "The tokenizers byte and bpe know every text, and a sentencepiece that is learned here does",
      join(shares, ", "));
}

}  // namespace moe
