// Compresses bytes for tests of readers.
#pragma once
#include <string>
#include <string_view>

namespace moe {

// `compression`: gzip, xz, zstd, or "" for the bytes themselves.
std::string compressed(std::string_view bytes, const std::string& compression);

}  // namespace moe
