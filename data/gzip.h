// Files that may be compressed with gzip.
#pragma once
#include <string>

namespace moe {

// The bytes of a file, unpacked when it begins as gzip's do. DataError for a damaged one, and, in a build without zlib,
// for any compressed one.
std::string read_maybe_compressed(const std::string& path);

}  // namespace moe
