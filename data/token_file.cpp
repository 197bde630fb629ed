#include "data/token_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/content_hash.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "token files are read as they are");

// Writes `count` tokens to `out` and returns the largest. `stored` may be the end of `out`: a token is written only
// where all stored ones have been read.
template <class Stored>
static uint32_t widen(const unsigned char* stored, int64_t count, int32_t* out) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    Stored token;
    std::memcpy(&token, stored + i * static_cast<int64_t>(sizeof(Stored)), sizeof(token));
    largest = std::max<uint32_t>(largest, token);
    const auto wide = static_cast<int32_t>(token);
    std::memcpy(out + i, &wide, sizeof(wide));
  }
  return largest;
}

bool TokenFile::is_one(const std::string& path) {
  int32_t magic = 0;
  PosixFile::open(path).read(&magic, sizeof(magic));
  return magic == kTokenFormat16.magic || magic == kTokenFormat32.magic;
}

TokenFile::TokenFile(const std::string& path) : file_(PosixFile::open(path)) {
  const int64_t file_bytes = file_.size();
  TokenHeader header = {};
  if (const int64_t count = file_.read(header.data(), kTokenHeaderBytes); count < kTokenHeaderBytes) {
    raise<DataError>("{}: {} bytes are too few for the header of a token file ({} bytes)", path, count,
                     kTokenHeaderBytes);
  }
  for (const TokenFormat& format : {kTokenFormat16, kTokenFormat32}) {
    if (header[0] != format.magic) continue;
    if (header[1] != format.version) {
      raise<DataError>("{}: token file of magic {} has version {}; expected version {}", path, header[0], header[1],
                       format.version);
    }
    bytes_per_token_ = format.bytes_per_token;
  }
  if (bytes_per_token_ == 0) {
    raise<DataError>("{}: not a token file: magic {}; expected {} (uint16 tokens) or {} (uint32 tokens)", path,
                     header[0], kTokenFormat16.magic, kTokenFormat32.magic);
  }
  // A file of another program may have anything in the fourth number, and fits by the third alone.
  num_tokens_ = header[2];
  if (num_tokens_ < 0 || file_bytes != kTokenHeaderBytes + num_tokens_ * bytes_per_token_)
    num_tokens_ = count_in(header);
  constexpr int64_t kMost = int64_t{1} << 48;  // so that no product overflows
  if (num_tokens_ < 0 || num_tokens_ > kMost) raise<DataError>("{}: the header says {} tokens", path, num_tokens_);
  if (const int64_t expected = kTokenHeaderBytes + num_tokens_ * bytes_per_token_; file_bytes != expected) {
    raise<DataError>("{}: {} by {} bytes: the header says {} tokens of {} bytes ({} bytes in all), the file has {}",
                     path, file_bytes < expected ? "truncated" : "too long", std::abs(file_bytes - expected),
                     num_tokens_, bytes_per_token_, expected, file_bytes);
  }
}

// Reads rather than maps the file: of a mapping that a file has become too short for, or whose disk fails, nothing is
// left but a signal (SIGBUS), and it belongs to the process's memory, of which --dry-run says how much a run needs.
void TokenFile::read_bytes(int64_t offset, int64_t bytes, void* out) const {
  if (file_.read_at(out, bytes, offset) < bytes) {
    raise<CheckpointError>(
        "{} became shorter while it was in use: it ends at byte {}; expected {} bytes. Prepare the corpus again, and "
        "give a changed one another name",
        path(), file_.size(), kTokenHeaderBytes + num_tokens_ * bytes_per_token_);
  }
}

int32_t TokenFile::at(int64_t index) const {
  int32_t token = 0;
  read(index, 1, &token);
  return token;
}

void TokenFile::read(int64_t begin, int64_t count, int32_t* out) const {
  MOE_CHECK(begin >= 0 && count >= 0 && count <= num_tokens_ - begin, "tokens [{}, +{}) of {} in {}", begin, count,
            num_tokens_, path());
  // 16-bit tokens are read into the second half of `out` and widened from there.
  const int64_t bytes = count * bytes_per_token_;
  unsigned char* const stored = reinterpret_cast<unsigned char*>(out + count) - bytes;
  read_bytes(kTokenHeaderBytes + begin * bytes_per_token_, bytes, stored);
  const uint32_t largest =
      bytes_per_token_ == 2 ? widen<uint16_t>(stored, count, out) : widen<uint32_t>(stored, count, out);
  if (largest >= vocab_size_) fail_vocabulary(begin, count, out);
}

void TokenFile::fail_vocabulary(int64_t begin, int64_t count, const int32_t* tokens) const {
  for (int64_t i = 0; i < count; ++i) {
    if (const auto token = static_cast<uint32_t>(tokens[i]); token >= vocab_size_) {
      raise<DataError>("{}: token {} at position {}; expected tokens below {} (the vocabulary)", path(), token,
                       begin + i, vocab_size_);
    }
  }
  MOE_CHECK(false, "no token >= {} in {}", vocab_size_, path());
}

bool TokenFile::has_plain_header() const {
  TokenHeader header = {};
  read_bytes(0, kTokenHeaderBytes, header.data());
  const TokenFormat& format = bytes_per_token_ == kTokenFormat16.bytes_per_token ? kTokenFormat16 : kTokenFormat32;
  TokenHeader expected = {format.magic, format.version};
  set_count(expected, num_tokens_);
  return header == expected;
}

uint64_t TokenFile::payload_hash() const {
  ContentHash hash;
  const int64_t end = num_tokens_ * bytes_per_token_;
  std::vector<unsigned char> block(as_index(std::min(end, int64_t{1} << 20)));
  for (int64_t done = 0; done < end;) {
    const int64_t count = std::min(std::ssize(block), end - done);
    read_bytes(kTokenHeaderBytes + done, count, block.data());
    hash.update(block.data(), count);
    done += count;
  }
  return hash.value();
}

}  // namespace moe
