#include "data/token_writer.h"

#include <algorithm>
#include <iterator>

#include "core/base/check.h"

namespace moe {

constexpr size_t kBufferBytes = size_t{1} << 20;

TokenWriter::TokenWriter(const std::string& path, int64_t vocab_size)
    : path_(path), vocab_size_(vocab_size), format_(token_format(vocab_size)), file_(path) {
  buffer_.reserve(kBufferBytes);
}

void TokenWriter::write(std::span<const int32_t> tokens) {
  while (!tokens.empty()) {
    const size_t room = (kBufferBytes - buffer_.size()) / static_cast<size_t>(format_.bytes_per_token);
    const auto part = tokens.first(std::min(room, tokens.size()));
    format_.bytes_per_token == 2 ? append<uint16_t>(part) : append<uint32_t>(part);
    tokens = tokens.subspan(part.size());
    if (buffer_.size() == kBufferBytes) flush();
  }
}

template <class Stored>
void TokenWriter::append(std::span<const int32_t> tokens) {
  const size_t before = buffer_.size();
  buffer_.resize(before + tokens.size() * sizeof(Stored));
  auto* out = reinterpret_cast<Stored*>(buffer_.data() + before);
  uint32_t largest = 0;  // unsigned, so that a negative token becomes a large one
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto token = static_cast<uint32_t>(tokens[i]);
    largest = std::max(largest, token);
    out[i] = static_cast<Stored>(token);
  }
  if (largest >= vocab_size_) {
    raise<DataError>("{}: token {} does not fit into a vocabulary of {}", path_, static_cast<int32_t>(largest),
                     vocab_size_);
  }
  num_tokens_ += static_cast<int64_t>(tokens.size());
}

void TokenWriter::flush() {
  file_.append(buffer_.data(), std::ssize(buffer_));
  buffer_.clear();
}

void TokenWriter::finish() {
  flush();
  TokenHeader header = {};
  header[0] = format_.magic;
  header[1] = format_.version;
  set_count(header, num_tokens_);
  file_.finish(header);
}

}  // namespace moe
