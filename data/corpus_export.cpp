#include "data/corpus_export.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"

namespace moe {

int64_t export_text(const Split& split, const Tokenizer& tokenizer, int64_t num_tokens, std::FILE* out) {
  constexpr int64_t kBlock = 1 << 18;
  const int64_t end = num_tokens > 0 ? std::min(num_tokens, split.num_tokens()) : split.num_tokens();
  std::vector<int32_t> tokens;
  int64_t bytes = 0;
  for (int64_t begin = 0; begin < end; begin += kBlock) {
    tokens.resize(static_cast<size_t>(std::min(kBlock, end - begin)));
    split.read(begin, static_cast<int64_t>(tokens.size()), tokens.data());
    const std::string text = tokenizer.decode(tokens);
    if (std::fwrite(text.data(), 1, text.size(), out) != text.size()) {
      raise<DataError>("the text of split {} cannot be written: {}", split.name(), std::strerror(errno));
    }
    bytes += static_cast<int64_t>(text.size());
  }
  if (std::fflush(out) != 0) {
    raise<DataError>("the text of split {} cannot be written: {}", split.name(), std::strerror(errno));
  }
  return bytes;
}

}  // namespace moe
