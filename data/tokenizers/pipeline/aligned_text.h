// A text that stages of a tokenizer changed, with the place in the original text that each of its bytes stands for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

class AlignedText {
 public:
  AlignedText() = default;
  // A part of the original text, which begins at its byte `origin`.
  AlignedText(std::string_view text, size_t origin) : text_(text), origin_(origin) {}

  std::string_view text() const { return text_; }
  size_t origin() const { return origin_; }
  // Where in the original text what the first `bytes` bytes stand for ends.
  size_t end_of(size_t bytes) const {
    if (bytes == 0) return origin_;
    return ends_.empty() ? origin_ + bytes : ends_[bytes - 1];
  }

  // An empty text that takes the place of `other`; append() fills it.
  static AlignedText in_place_of(const AlignedText& other) {
    AlignedText text;
    text.origin_ = other.origin_;
    return text;
  }
  // `end`: where in the original text `bytes` end; it never becomes smaller.
  void append(std::string_view bytes, size_t end) {
    text_ += bytes;
    ends_.insert(ends_.end(), bytes.size(), static_cast<uint32_t>(end));
  }
  // Appends bytes [begin, end) of `other` as they are.
  void append(const AlignedText& other, size_t begin, size_t end) {
    text_.append(other.text_, begin, end - begin);
    for (size_t i = begin; i < end; ++i) ends_.push_back(static_cast<uint32_t>(other.end_of(i + 1)));
  }

 private:
  std::string text_;
  size_t origin_ = 0;
  std::vector<uint32_t> ends_;  // empty while the text is as it was
};

}  // namespace moe
