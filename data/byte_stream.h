// The bytes of an input, unpacked where they are compressed. All input, texts and images alike, is read through this
// file.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "data/input_file.h"

namespace moe {

class Decoder;
class StoredBytes;

// One pass over an input. Files compressed by gzip, xz or zstd, with any number of members, are recognised by their
// content and unpacked. Throws DataError that names the file for one that cannot be read, is truncated or damaged, or
// has something else after the compressed data.
class ByteStream {
 public:
  explicit ByteStream(const InputFile& input);
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();

  // Fills `out` up to the end of the input; returns the number of bytes.
  int64_t read(char* out, int64_t bytes);
  // How much to ask read() for at once, at most `most`: no more than a file that is not compressed can give, so that
  // a small file takes a small buffer. One byte more than it has, because less than was asked for means the end.
  int64_t block_bytes(int64_t most) const;
  // "gzip", "xz", "zstd", or "" for a file that is not compressed.
  std::string_view compression() const;

  // Of the stored bytes, before unpacking; complete once read() has reached the end.
  int64_t stored_bytes() const;
  uint64_t stored_hash() const;

 private:
  std::unique_ptr<StoredBytes> stored_;
  std::unique_ptr<Decoder> decoder_;
  std::string_view compression_;
};

// All bytes of a file, unpacked.
std::string read_bytes(const std::string& path);

}  // namespace moe
