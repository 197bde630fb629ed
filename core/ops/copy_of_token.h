// Which of several copies of an expert a token goes to.
#pragma once
#include <cstdint>

#include "core/base/host_device.h"

namespace moe {

// A number in [0, copies) from a token's index in the global batch. Multiples of 2^32 times the golden ratio, modulo
// 2^32, divide every run of consecutive indices nearly equally (Fibonacci hashing; Knuth, The Art of Computer
// Programming, volume 3, section 6.4). Unlike the index modulo `copies` they do not follow patterns of the data whose
// period is a small number.
MOE_HOST_DEVICE inline int32_t copy_of_token(int64_t token, int32_t copies) {
  const uint32_t spread = static_cast<uint32_t>(token) * 2654435769U;
  return static_cast<int32_t>((static_cast<uint64_t>(spread) * static_cast<uint64_t>(copies)) >> 32);
}

}  // namespace moe
