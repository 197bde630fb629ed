// A file of token ids in llm.c's formats: a header of 256 int32 (magic, version, number of tokens, zeros), then the
// tokens as uint16 (20240520, version 1) or uint32 (20240801, version 7), little-endian. The number of tokens is in the
// third int32, and its upper 32 bits in the fourth one, which llm.c leaves 0: files of up to 2^31 - 1 tokens are the
// same.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "data/posix_file.h"

namespace moe {

struct TokenFormat {
  int32_t magic;
  int32_t version;
  int64_t bytes_per_token;
};
constexpr TokenFormat kTokenFormat16 = {20240520, 1, 2};
constexpr TokenFormat kTokenFormat32 = {20240801, 7, 4};
// The narrowest one for a vocabulary.
constexpr TokenFormat token_format(int64_t vocab_size) {
  return vocab_size <= 65536 ? kTokenFormat16 : kTokenFormat32;
}
using TokenHeader = std::array<int32_t, 256>;
constexpr int64_t kTokenHeaderBytes = sizeof(TokenHeader);

// The number in a header's third and fourth int32.
inline int64_t count_in(const TokenHeader& header) {
  return int64_t{header[3]} << 32 | static_cast<uint32_t>(header[2]);
}
inline void set_count(TokenHeader& header, int64_t count) {
  header[2] = static_cast<int32_t>(static_cast<uint32_t>(count & 0xFFFFFFFF));
  header[3] = static_cast<int32_t>(count >> 32);
}

class TokenFile {
 public:
  // Whether a file begins as a token file does. Throws DataError for one that cannot be read.
  static bool is_one(const std::string& path);
  // Throws DataError that names the path, what was found and what was expected for every kind of damage: a short
  // header, an unknown magic or version, a length that does not match the header.
  explicit TokenFile(const std::string& path);
  const std::string& path() const { return file_.path(); }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t bytes_per_token() const { return bytes_per_token_; }

  // From this call on, reading a token >= vocab_size throws DataError.
  void expect_vocabulary(int64_t vocab_size) { vocab_size_ = vocab_size; }

  int32_t at(int64_t index) const;
  // Throws CheckpointError when the file has become shorter since it was opened.
  void read(int64_t begin, int64_t count, int32_t* out) const;

  // XXH64 of all token bytes (not of the header): reads the whole file.
  uint64_t payload_hash() const;
  // Whether the header has nothing but what is read from it: magic, version, count and zeros.
  bool has_plain_header() const;

 private:
  void read_bytes(int64_t offset, int64_t bytes, void* out) const;
  [[noreturn]] void fail_vocabulary(int64_t begin, int64_t count, const int32_t* tokens) const;

  PosixFile file_;
  int64_t num_tokens_ = 0;
  int64_t bytes_per_token_ = 0;
  int64_t vocab_size_ = int64_t{1} << 31;  // the range of an int32
};

}  // namespace moe
