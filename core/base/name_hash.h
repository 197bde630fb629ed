// FNV-1a hash of names: the random streams of a tensor depend only on its name.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/base/philox.h"

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

// The random numbers of a tensor for one purpose: the whole hash, in the stream and the step.
inline RandomKey named_key(uint64_t seed, RandomPurpose purpose, std::string_view name) {
  return {seed, purpose, name_stream(name), name_hash(name) >> 24};
}

}  // namespace moe
