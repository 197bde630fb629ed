// Dropout factors on the CPU: many draws at a time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/base/philox.h"
#include "core/ops/kernels/gemm/micro_kernel.h"

namespace moe::cpu::inline MOE_LEVEL {

#if defined(__AVX2__)

// Vectors of 64-bit lanes, each of which draws four words for one element. Of what a lane holds, only the low half
// counts.
typedef uint64_t DrawLanes __attribute__((vector_size(kVectorBytes)));
typedef uint32_t DrawWords __attribute__((vector_size(kVectorBytes)));
typedef float DrawFactors __attribute__((vector_size(kVectorBytes)));
static constexpr int64_t kDrawLanes = kVectorBytes / 8;
static constexpr uint64_t kLowHalf = 0xffffffffu;

// Products of the low halves. As intrinsics, because compilers multiply 64-bit lanes in three steps.
[[gnu::always_inline]] inline DrawLanes product_of_low(DrawLanes a, DrawLanes b) {
#if defined(__AVX512F__)
  return reinterpret_cast<DrawLanes>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  return reinterpret_cast<DrawLanes>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#endif
}

// RandomKey::words for an element in each lane.
struct DrawState {
  DrawLanes counter0, counter1, counter2, counter3;

  [[gnu::always_inline]] DrawState(const RandomKey& key, DrawLanes elements)
      : counter0(elements),
        counter1((elements >> 32) ^ static_cast<uint64_t>(static_cast<uint32_t>(key.step >> 32) << 8)),
        counter2(DrawLanes{} + static_cast<uint32_t>(key.step)),
        counter3(DrawLanes{} + ((static_cast<uint32_t>(key.purpose) << 24) ^ key.stream)) {}

  [[gnu::always_inline]] void round(DrawLanes key0, DrawLanes key1) {
    const DrawLanes product0 = product_of_low(DrawLanes{} + 0xD2511F53u, counter0);
    const DrawLanes product1 = product_of_low(DrawLanes{} + 0xCD9E8D57u, counter2);
    counter0 = (product1 >> 32) ^ counter1 ^ key0;
    counter2 = (product0 >> 32) ^ counter3 ^ key1;
    counter1 = product1;
    counter3 = product0;
  }
};

// The elements of the lanes are in such an order that store_factors needs no more than an interleaving: within 16 bytes
// one of the first half and one of the second.
[[gnu::always_inline]] inline DrawLanes elements_from(uint64_t first) {
  DrawLanes elements;
  for (int64_t lane = 0; lane < kDrawLanes; ++lane) {
    elements[lane] = first + static_cast<uint64_t>(lane / 2 + lane % 2 * (kDrawLanes / 2));
  }
  return elements;
}

[[gnu::always_inline]] inline void store_factors(float* to, const DrawState& state, uint32_t threshold, float keep) {
  const DrawLanes words01 = (state.counter0 & kLowHalf) | (state.counter1 << 32);
  const DrawLanes words23 = (state.counter2 & kLowHalf) | (state.counter3 << 32);
#if defined(__AVX512F__)
  const DrawLanes halves[2] = {__builtin_shufflevector(words01, words23, 0, 8, 2, 10, 4, 12, 6, 14),
                               __builtin_shufflevector(words01, words23, 1, 9, 3, 11, 5, 13, 7, 15)};
#else
  const DrawLanes halves[2] = {__builtin_shufflevector(words01, words23, 0, 4, 2, 6),
                               __builtin_shufflevector(words01, words23, 1, 5, 3, 7)};
#endif
  for (const DrawLanes& half : halves) {
    const DrawFactors factors = reinterpret_cast<DrawWords>(half) >= threshold ? DrawFactors{} + keep : DrawFactors{};
    std::memcpy(to, &factors, sizeof(factors));
    to += kVectorBytes / sizeof(float);
  }
}

// factors (4 * 2 * kDrawLanes) of the elements from `first` on. Two states at a time, because each product waits for
// the one before.
[[gnu::always_inline]] inline void draw_factors(float* factors, const RandomKey& key, uint64_t first,
                                                uint32_t threshold, float keep) {
  DrawState a(key, elements_from(first)), b(key, elements_from(first + static_cast<uint64_t>(kDrawLanes)));
  uint32_t key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    a.round(DrawLanes{} + key0, DrawLanes{} + key1);
    b.round(DrawLanes{} + key0, DrawLanes{} + key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  store_factors(factors, a, threshold, keep);
  store_factors(factors + 4 * kDrawLanes, b, threshold, keep);
}

#endif

// factors (4 * quads): draws four words for each element from `first` on; the factor is 0 for a word below `threshold`,
// else `keep`.
template <class T>
static inline void drop_factors(T* factors, const RandomKey& key, uint64_t first, int64_t quads, uint32_t threshold,
                                T keep) {
#if defined(__AVX2__)
  constexpr int64_t kElements = 2 * kDrawLanes;
  for (; quads > 0; quads -= kElements, factors += 4 * kElements, first += kElements) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (quads >= kElements) {
        draw_factors(factors, key, first, threshold, keep);
        continue;
      }
    }
    float drawn[4 * kElements];
    draw_factors(drawn, key, first, threshold, 1);
    for (int64_t i = 0; i < 4 * std::min(quads, kElements); ++i) factors[i] = drawn[i] == 0 ? T(0) : keep;
  }
#else
  for (int64_t i = 0; i < quads; ++i) {
    const auto words = key.words(first + static_cast<uint64_t>(i));
    for (size_t lane = 0; lane < 4; ++lane) *factors++ = words[lane] < threshold ? T(0) : keep;
  }
#endif
}

}  // namespace moe::cpu::inline MOE_LEVEL
