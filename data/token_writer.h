// Writes a token file (token_file.h) as a stream, which is complete or absent.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/headed_file.h"
#include "data/token_file.h"

namespace moe {

class TokenWriter {
 public:
  // 16-bit tokens when the vocabulary allows it, else 32-bit ones.
  TokenWriter(const std::string& path, int64_t vocab_size);

  // Throws DataError with the path and the system's reason when writing fails (a full disk), and for a token outside
  // the vocabulary.
  void write(std::span<const int32_t> tokens);
  // Completes the file.
  void finish();

  int64_t num_tokens() const { return num_tokens_; }
  uint64_t payload_hash() const { return file_.payload_hash(); }

 private:
  template <class Stored>
  void append(std::span<const int32_t> tokens);
  void flush();

  std::string path_;
  int64_t vocab_size_;
  TokenFormat format_;
  HeadedFile file_;
  std::vector<unsigned char> buffer_;
  int64_t num_tokens_ = 0;
};

}  // namespace moe
