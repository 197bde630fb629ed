// A memory-mapped file of token ids in llm.c's formats: a header of 256 int32 (magic, version, number of
// tokens, zeros), then the tokens as uint16 (20240520, version 1) or uint32 (20240801, version 7),
// little-endian.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace moe {

struct TokenFormat {
  int32_t magic;
  int32_t version;
  int64_t bytes_per_token;
};
constexpr TokenFormat kTokenFormat16 = {20240520, 1, 2};
constexpr TokenFormat kTokenFormat32 = {20240801, 7, 4};
using TokenHeader = std::array<int32_t, 256>;
constexpr int64_t kTokenHeaderBytes = sizeof(TokenHeader);

class TokenFile {
 public:
  // Throws DataError that names the path, what was found and what was expected for every kind of damage: a short
  // header, an unknown magic or version, a length that does not match the header.
  explicit TokenFile(const std::string& path);
  TokenFile(TokenFile&& other) noexcept;
  TokenFile& operator=(TokenFile&& other) noexcept;
  ~TokenFile();

  const std::string& path() const { return path_; }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t bytes_per_token() const { return bytes_per_token_; }

  // From this call on, reading a token >= vocab_size throws DataError.
  void expect_vocabulary(int64_t vocab_size) { vocab_size_ = vocab_size; }

  int32_t at(int64_t index) const;
  // Not thread-safe: it counts the bytes read, in order to release mapped pages.
  void read(int64_t begin, int64_t count, int32_t* out) const;

  // XXH64 of all token bytes (not of the header): reads the whole file.
  uint64_t payload_hash() const;

 private:
  [[noreturn]] void fail_vocabulary(int64_t begin, int64_t count) const;

  std::string path_;
  const unsigned char* mapping_ = nullptr;
  int64_t mapping_bytes_ = 0;
  int64_t num_tokens_ = 0;
  int64_t bytes_per_token_ = 0;
  int64_t vocab_size_ = int64_t{1} << 31;  // the range of an int32
  mutable int64_t touched_bytes_ = 0;      // bytes read since pages were last released
};

}  // namespace moe
