#include "core/generate/text_output.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace moe {

TextOutput::TextOutput(const Tokenizer& tokenizer, std::span<const int32_t> prompt, std::vector<std::string> stops)
    : tokenizer_(tokenizer), bytes_(tokenizer.decode(prompt)), prompt_bytes_(bytes_.size()), stops_(std::move(stops)) {}

// Bytes at the end of an incomplete UTF-8 character; 0 for text that is none.
static size_t incomplete_character(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0u) == 0x80u) continue;
    const size_t length = byte >= 0xF0u ? 4 : byte >= 0xE0u ? 3 : byte >= 0xC0u ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

size_t TextOutput::held_back() const {
  size_t most = incomplete_character(text_);
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, text_.size()); length > most; --length) {
      if (!text_.ends_with(std::string_view(stop).substr(0, length))) continue;
      most = length;
      break;
    }
  }
  return most;
}

std::string TextOutput::add(int32_t token) {
  const size_t before = text_.size();
  tokenizer_.decode_next(token, bytes_);
  text_ += std::string_view(bytes_).substr(prompt_bytes_ + before);
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t from = before >= stop.size() ? before - stop.size() + 1 : 0;
    first = std::min(first, text_.find(stop, from));
  }
  if (first != std::string::npos) {
    has_stopped_ = true;
    text_.resize(first);
  }
  const size_t end = has_stopped_ ? text_.size() : text_.size() - held_back();
  if (end <= shown_) return {};
  return text_.substr(std::exchange(shown_, end), end - shown_);
}

std::string TextOutput::rest() {
  return text_.substr(std::exchange(shown_, text_.size()));
}

}  // namespace moe
