#include "core/generate/token_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/text.h"

namespace moe {

// Text for one field of a table.
static std::string field(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text.front();
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\\') {
      result += "\\\\";
    } else if (length == 0 || (length == 1 && (static_cast<unsigned char>(c) < 0x20u || c == 0x7f))) {
      result += fmt::format("\\x{:02X}", static_cast<unsigned char>(c));
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::string token_table(std::span<const int32_t> tokens, std::span<const TokenScore> scores, const Tokenizer& tokenizer,
                        const ChosenExperts* experts) {
  const size_t layers = experts ? experts->layers() : 0;
  std::string table = "index\ttoken\ttext\tnats\tentropy\trank";
  for (size_t l = 0; l < layers; ++l) table += fmt::format("\texperts{}", experts->block(l));
  table += '\n';
  std::string bytes;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t before = bytes.size();
    tokenizer.decode_next(tokens[i], bytes);
    table += fmt::format("{}\t{}\t{}\t", i, tokens[i], field(std::string_view(bytes).substr(before)));
    if (i > 0)
      table += fmt::format("{:.6f}\t{:.6f}\t{}", scores[i - 1].nats, scores[i - 1].entropy, scores[i - 1].rank);
    else
      table += "\t\t";
    for (size_t l = 0; l < layers; ++l) {
      table += '\t';
      const std::vector<int32_t> chosen = experts->of(0, static_cast<int64_t>(i), l);
      for (size_t k = 0; k < chosen.size(); ++k) table += fmt::format("{}{}", k > 0 ? "," : "", chosen[k]);
    }
    table += '\n';
  }
  return table;
}

}  // namespace moe
