// Writes a token file (token_file.h) as a stream. The file has a temporary name until finish(), so a file with the
// final name is always complete. An unfinished file is removed.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/content_hash.h"
#include "data/posix_file.h"
#include "data/token_file.h"

namespace moe {

class TokenWriter {
 public:
  // 16-bit tokens when the vocabulary allows it, else 32-bit ones.
  TokenWriter(const std::string& path, int64_t vocab_size);
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;
  ~TokenWriter();

  // Throws DataError with the path and the system's reason when writing fails (a full disk), and for a token outside
  // the vocabulary.
  void write(std::span<const int32_t> tokens);
  // Completes the header, syncs and renames.
  void finish();

  int64_t num_tokens() const { return num_tokens_; }
  uint64_t payload_hash() const { return hash_.value(); }

 private:
  template <class Stored>
  void append(std::span<const int32_t> tokens);
  void flush();

  std::string path_;
  std::string temporary_;
  int64_t vocab_size_;
  TokenFormat format_;
  PosixFile file_;
  std::vector<unsigned char> buffer_;
  ContentHash hash_;
  int64_t num_tokens_ = 0;
  bool finished_ = false;
};

}  // namespace moe
