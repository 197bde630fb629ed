// Dropout factors on the CPU: many draws at a time, so that the compiler vectorises them.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/base/philox.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

// factors (4 * quads): draws four words for each element from `first` on; the factor is 0 for a word below `threshold`,
// else `keep`.
template <class T>
inline void drop_factors(T* factors, const RandomKey& key, uint64_t first, int64_t quads, uint32_t threshold, T keep) {
  constexpr int64_t kBlock = 64;  // the words of one block stay in the L1 cache
  for (int64_t begin = 0; begin < quads; begin += kBlock) {
    const int64_t count = std::min(kBlock, quads - begin);
    const uint64_t element = first + static_cast<uint64_t>(begin);
    uint32_t words[4][kBlock];
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const auto w = key.words(element + static_cast<uint64_t>(i));
      words[0][i] = w[0];
      words[1][i] = w[1];
      words[2][i] = w[2];
      words[3][i] = w[3];
    }
    T* const to = factors + 4 * begin;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      to[4 * i] = words[0][i] < threshold ? T(0) : keep;
      to[4 * i + 1] = words[1][i] < threshold ? T(0) : keep;
      to[4 * i + 2] = words[2][i] < threshold ? T(0) : keep;
      to[4 * i + 3] = words[3][i] < threshold ? T(0) : keep;
    }
  }
}

}  // namespace moe::cpu::MOE_LEVEL
