#include "data/corpus_info.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "data/content_hash.h"

namespace moe {

// The beginning of a text as one line of at most `longest` characters: line ends as \n, and what cannot be printed, or
// is not UTF-8, as \xNN.
static std::string one_line(std::string_view bytes, size_t longest) {
  constexpr std::string_view kMore = "...";
  std::string line;
  size_t characters = 0;
  while (!bytes.empty()) {
    const auto byte = static_cast<unsigned char>(bytes[0]);
    const size_t length = byte >= 0x20 && byte != 0x7F ? utf8_length(bytes) : 0;
    const std::string next = length > 0     ? std::string(bytes.substr(0, length))
                             : byte == '\n' ? "\\n"
                                            : fmt::format("\\x{:02x}", byte);
    characters += length > 0 ? 1 : next.size();
    if (characters > longest - kMore.size()) return line + std::string(kMore);
    line += next;
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return line;
}

std::string describe_corpus(const Corpus& corpus, int64_t preview_tokens) {
  std::string text = fmt::format("corpus      {}\ntokenizer   {}\nvocabulary  {}\n", corpus.name(),
                                 corpus.tokenizer().name(), corpus.vocab_size());
  if (const auto rate = corpus.entropy_rate()) {
    text += fmt::format("entropy     {:.6f} nats/token, {:.6f} bits/token\n", *rate, *rate / std::log(2.0));
  }
  text += fmt::format("\n{:<12}{:>14}{:>14}{:>12}  {}\n", "split", "tokens", "bytes", "documents", "content hash");
  for (const Split& split : corpus.splits()) {
    const auto unknown = split.unknown();
    text += fmt::format("{:<12}{:>14}{:>14}{:>12}  {}{}\n", split.name(), split.num_tokens(),
                        split.raw_bytes() ? std::to_string(*split.raw_bytes()) : "unknown",
                        split.has_documents() ? std::to_string(split.num_documents()) : "unknown",
                        format_hash(split.content_hash()),
                        unknown && unknown->tokens > 0 ? "  " + unknown_in_words(*unknown, split.num_tokens()) : "");
  }
  const Split& first = corpus.splits().front();
  std::vector<int32_t> tokens(static_cast<size_t>(std::min(preview_tokens, first.num_tokens())));
  first.read(0, static_cast<int64_t>(tokens.size()), tokens.data());
  return text + fmt::format("\n{} begins:\n{}\n", first.name(), one_line(corpus.tokenizer().decode(tokens), 200));
}

}  // namespace moe
