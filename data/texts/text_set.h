// Labelled texts in their memory layout.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>
#include "core/base/integer.h"

namespace moe {

class TextSet {
 public:
  void add(std::string_view text, int32_t label) {
    bytes_ += text;
    ends_.push_back(bytes_.size());
    labels_.push_back(label);
  }
  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  std::string_view text(int64_t i) const {
    const auto n = static_cast<size_t>(i);
    const size_t begin = n > 0 ? ends_[n - 1] : 0;
    return std::string_view(bytes_).substr(begin, ends_[n] - begin);
  }
  int32_t label(int64_t i) const { return labels_[as_index(i)]; }
  int64_t memory_bytes() const {
    return static_cast<int64_t>(bytes_.capacity() + ends_.capacity() * sizeof(size_t) +
                                labels_.capacity() * sizeof(int32_t));
  }

 private:
  std::string bytes_;  // of all texts, concatenated
  std::vector<size_t> ends_;
  std::vector<int32_t> labels_;
};

// The contents of a folder of a known format.
struct TextFiles {
  TextSet train, validation, test;   // all but `train` may be empty
  std::vector<std::string> classes;  // names; a label is an index into them
};

}  // namespace moe
