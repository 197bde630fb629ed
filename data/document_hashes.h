// Hashes of the documents of a text that comes in pieces, to find equal ones.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "data/content_hash.h"

namespace moe {

// Cuts the pieces of a text at the places where documents begin. `begins`: these places in `text`, ascending.
// Calls part(text, begins a document) for each part.
template <class Part>
void for_each_part(std::string_view text, std::span<const size_t> begins, Part part) {
  size_t at = 0;
  bool is_begin = false;
  for (const size_t begin : begins) {
    if (begin > at) part(text.substr(at, begin - at), is_begin);
    at = begin, is_begin = true;
  }
  if (at < text.size()) part(text.substr(at), is_begin);
}

// One document after the other.
class DocumentHasher {
 public:
  void add(std::string_view text) {
    hash_.update(text.data(), std::ssize(text));
    bytes_ += std::ssize(text);
  }
  int64_t bytes() const { return bytes_; }
  // The hash of what was added since the last call.
  uint64_t end() {
    const uint64_t value = hash_.value();
    hash_ = {};
    bytes_ = 0;
    return value;
  }

 private:
  ContentHash hash_;
  int64_t bytes_ = 0;
};

}  // namespace moe
