#include "data/token_writer.h"

#include <unistd.h>

#include <algorithm>

#include "core/base/check.h"

namespace moe {

constexpr size_t kBufferBytes = size_t{1} << 20;

TokenWriter::TokenWriter(const std::string& path, int64_t vocab_size)
    : path_(path),
      temporary_(path + ".partial"),
      vocab_size_(vocab_size),
      format_(vocab_size <= 65536 ? kTokenFormat16 : kTokenFormat32),
      file_(PosixFile::create(temporary_)) {
  buffer_.reserve(kBufferBytes);
  // The count is not known yet; finish() rewrites the header.
  const TokenHeader header = {};
  try {
    file_.write(header.data(), kTokenHeaderBytes);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

TokenWriter::~TokenWriter() {
  if (!finished_) ::unlink(temporary_.c_str());
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
  hash_.update(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  file_.write(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  buffer_.clear();
}

void TokenWriter::finish() {
  flush();
  TokenHeader header = {};
  header[0] = format_.magic;
  header[1] = format_.version;
  set_count(header, num_tokens_);
  file_.write_at(header.data(), kTokenHeaderBytes, 0);
  file_.sync();
  rename_durably(temporary_, path_);
  finished_ = true;
}

}  // namespace moe
