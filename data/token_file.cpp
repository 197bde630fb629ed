#include "data/token_file.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "data/content_hash.h"
#include "data/posix_file.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are");

// Copies `count` tokens to `out` and returns the largest.
template <class Stored>
static uint32_t widen(const unsigned char* stored, int64_t count, int32_t* out) {
  const auto* tokens = reinterpret_cast<const Stored*>(stored);
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t token = tokens[i];
    largest = std::max(largest, token);
    out[i] = static_cast<int32_t>(token);
  }
  return largest;
}

TokenFile::TokenFile(const std::string& path) : path_(path) {
  PosixFile file = PosixFile::open(path);
  const int64_t file_bytes = file.size();
  TokenHeader header = {};
  if (const int64_t count = file.read(header.data(), kTokenHeaderBytes); count < kTokenHeaderBytes) {
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
  num_tokens_ = header[2];
  if (num_tokens_ < 0) raise<DataError>("{}: the header says {} tokens", path, num_tokens_);
  if (const int64_t expected = kTokenHeaderBytes + num_tokens_ * bytes_per_token_; file_bytes != expected) {
    raise<DataError>("{}: {} by {} bytes: the header says {} tokens of {} bytes ({} bytes in all), the file has {}",
                     path, file_bytes < expected ? "truncated" : "too long", std::abs(file_bytes - expected),
                     num_tokens_, bytes_per_token_, expected, file_bytes);
  }

  void* mapping = ::mmap(nullptr, static_cast<size_t>(file_bytes), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (mapping == MAP_FAILED) raise<DataError>("cannot map {}: {}", path, std::strerror(errno));
  mapping_ = static_cast<const unsigned char*>(mapping);
  mapping_bytes_ = file_bytes;
}

TokenFile::TokenFile(TokenFile&& other) noexcept {
  *this = std::move(other);
}

TokenFile& TokenFile::operator=(TokenFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  num_tokens_ = other.num_tokens_;
  bytes_per_token_ = other.bytes_per_token_;
  vocab_size_ = other.vocab_size_;
  return *this;
}

TokenFile::~TokenFile() {
  if (mapping_) ::munmap(const_cast<unsigned char*>(mapping_), static_cast<size_t>(mapping_bytes_));
}

int32_t TokenFile::at(int64_t index) const {
  int32_t token = 0;
  read(index, 1, &token);
  return token;
}

void TokenFile::read(int64_t begin, int64_t count, int32_t* out) const {
  MOE_CHECK(begin >= 0 && count >= 0 && count <= num_tokens_ - begin, "tokens [{}, +{}) of {} in {}", begin, count,
            num_tokens_, path_);
  const unsigned char* stored = mapping_ + kTokenHeaderBytes + begin * bytes_per_token_;
  const uint32_t largest =
      bytes_per_token_ == 2 ? widen<uint16_t>(stored, count, out) : widen<uint32_t>(stored, count, out);
  if (largest >= vocab_size_) fail_vocabulary(begin, count);

  // Pages that were read stay in the system's cache but leave this process's resident size, so that a run needs what
  // --dry-run says however large its corpus is. A read maps at least the 64 KiB around it.
  touched_bytes_ += std::max<int64_t>(count * bytes_per_token_, 1 << 16);
  if (touched_bytes_ > (4 << 20)) {
    ::madvise(const_cast<unsigned char*>(mapping_), static_cast<size_t>(mapping_bytes_), MADV_DONTNEED);
    touched_bytes_ = 0;
  }
}

void TokenFile::fail_vocabulary(int64_t begin, int64_t count) const {
  for (int64_t i = begin; i < begin + count; ++i) {
    uint32_t token = 0;
    std::memcpy(&token, mapping_ + kTokenHeaderBytes + i * bytes_per_token_, static_cast<size_t>(bytes_per_token_));
    if (token >= vocab_size_) {
      raise<DataError>("{}: token {} at position {}; expected tokens below {} (the vocabulary)", path_, token, i,
                       vocab_size_);
    }
  }
  MOE_CHECK(false, "no token >= {} in {}", vocab_size_, path_);
}

uint64_t TokenFile::payload_hash() const {
  ContentHash hash;
  hash.update(mapping_ + kTokenHeaderBytes, mapping_bytes_ - kTokenHeaderBytes);
  return hash.value();
}

}  // namespace moe
