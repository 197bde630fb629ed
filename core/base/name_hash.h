// FNV-1a hash of names: the random streams of a tensor depend only on its name.
#pragma once
#include <cstdint>
#include <string_view>

namespace moe {

inline uint32_t name_hash(std::string_view text) {
  uint32_t h = 2166136261u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}

// The hash as a RandomKey stream.
inline uint32_t name_stream(std::string_view text) {
  return name_hash(text) & 0xFFFFFFu;
}

}  // namespace moe
