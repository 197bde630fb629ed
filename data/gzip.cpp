#include "data/gzip.h"

#include "core/base/check.h"
#include "data/posix_file.h"

#if MOE_HAS_ZLIB
#include <zlib.h>

#include <algorithm>
#include <memory>
#endif

namespace moe {

#if MOE_HAS_ZLIB

static std::string gunzip(const std::string& packed, const std::string& path) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) raise<DataError>("{}: zlib cannot be initialised", path);
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> end(&stream, inflateEnd);
  constexpr size_t kPiece = size_t{1} << 20;
  std::string result;
  // zlib counts in unsigned int; it does not write to its input.
  size_t given = 0;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    if (stream.avail_in == 0 && given < packed.size()) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + given));
      stream.avail_in = static_cast<uInt>(std::min(packed.size() - given, kPiece));
      given += stream.avail_in;
    }
    const size_t before = result.size();
    result.resize(before + kPiece);
    stream.next_out = reinterpret_cast<Bytef*>(result.data() + before);
    stream.avail_out = kPiece;
    status = inflate(&stream, Z_NO_FLUSH);
    result.resize(before + kPiece - stream.avail_out);
    if (status == Z_BUF_ERROR && given == packed.size()) raise<DataError>("{} is truncated", path);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      raise<DataError>("{} is damaged: {}", path, stream.msg ? stream.msg : "zlib cannot unpack it");
    }
  }
  return result;
}

#else

[[noreturn]] static std::string gunzip(const std::string&, const std::string& path) {
  raise<DataError>("{} is compressed, and this program was built without zlib: gunzip it first", path);
}

#endif

std::string read_maybe_compressed(const std::string& path) {
  std::string bytes = read_text_file(path);
  const bool compressed = bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
  return compressed ? gunzip(bytes, path) : bytes;
}

}  // namespace moe
