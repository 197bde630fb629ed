// Reads files that may be compressed with gzip.
#pragma once
#include <string>

namespace moe {

// Returns the bytes of a file, unpacked when it begins with gzip's magic bytes. Throws DataError for a damaged file
// and, in a build without zlib, for any compressed one.
std::string read_maybe_compressed(const std::string& path);

}  // namespace moe
