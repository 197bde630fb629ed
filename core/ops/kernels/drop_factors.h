// Dropout factors on the CPU: many draws at a time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/base/philox.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

#if defined(__AVX2__)

// Vectors of 64-bit lanes, each of which draws four words for one element.
#if defined(__AVX512F__)
using DrawLanes = __m512i;
static constexpr int64_t kDrawLanes = 8;
// The lanes' elements: so that the words of elements 0 to 3 are in one vector in the end, and of 4 to 7 in another.
static inline DrawLanes lane_elements() {
  return _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
}
static inline DrawLanes repeat(uint64_t x) {
  return _mm512_set1_epi64(static_cast<int64_t>(x));
}
static inline DrawLanes plus(DrawLanes a, DrawLanes b) {
  return _mm512_add_epi64(a, b);
}
static inline DrawLanes product_of_low(DrawLanes a, DrawLanes b) {
  return _mm512_mul_epu32(a, b);
}
static inline DrawLanes high(DrawLanes a) {
  return _mm512_srli_epi64(a, 32);
}
static inline DrawLanes exclusive_or(DrawLanes a, DrawLanes b, DrawLanes c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
// The low halves of a, with those of b above them.
static inline DrawLanes pairs_of_low(DrawLanes a, DrawLanes b) {
  return _mm512_mask_blend_epi32(0xaaaa, a, _mm512_slli_epi64(b, 32));
}
static inline void store_factors(float* to, DrawLanes words01, DrawLanes words23, uint32_t threshold, float keep) {
  const __m512i limit = _mm512_set1_epi32(static_cast<int32_t>(threshold));
  const __m512 kept = _mm512_set1_ps(keep);
  const __m512i first = _mm512_unpacklo_epi64(words01, words23), second = _mm512_unpackhi_epi64(words01, words23);
  _mm512_storeu_ps(to, _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(first, limit), kept));
  _mm512_storeu_ps(to + 16, _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(second, limit), kept));
}
#else
using DrawLanes = __m256i;
static constexpr int64_t kDrawLanes = 4;
static inline DrawLanes lane_elements() {
  return _mm256_setr_epi64x(0, 2, 1, 3);
}
static inline DrawLanes repeat(uint64_t x) {
  return _mm256_set1_epi64x(static_cast<int64_t>(x));
}
static inline DrawLanes plus(DrawLanes a, DrawLanes b) {
  return _mm256_add_epi64(a, b);
}
static inline DrawLanes product_of_low(DrawLanes a, DrawLanes b) {
  return _mm256_mul_epu32(a, b);
}
static inline DrawLanes high(DrawLanes a) {
  return _mm256_srli_epi64(a, 32);
}
static inline DrawLanes exclusive_or(DrawLanes a, DrawLanes b, DrawLanes c) {
  return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
}
static inline DrawLanes pairs_of_low(DrawLanes a, DrawLanes b) {
  return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
}
static inline void store_factors(float* to, DrawLanes words01, DrawLanes words23, uint32_t threshold, float keep) {
  const __m256i limit = _mm256_set1_epi32(static_cast<int32_t>(threshold));
  const __m256 kept = _mm256_set1_ps(keep);
  const auto factors = [&](__m256i words) {  // a word is kept when the larger of it and the threshold is the word
    const __m256i is_kept = _mm256_cmpeq_epi32(_mm256_max_epu32(words, limit), words);
    return _mm256_and_ps(_mm256_castsi256_ps(is_kept), kept);
  };
  _mm256_storeu_ps(to, factors(_mm256_unpacklo_epi64(words01, words23)));
  _mm256_storeu_ps(to + 8, factors(_mm256_unpackhi_epi64(words01, words23)));
}
#endif

// RandomKey::words for many elements. Only the low halves of the lanes count; products ignore the high ones.
struct DrawState {
  DrawLanes counter0, counter1, counter2, counter3;

  DrawState(const RandomKey& key, uint64_t first) {
    const DrawLanes element = plus(repeat(first), lane_elements());
    const uint64_t step_part = static_cast<uint64_t>(static_cast<uint32_t>(key.step >> 32) << 8);
    counter0 = element;
    counter1 = exclusive_or(high(element), repeat(step_part), repeat(0));
    counter2 = repeat(static_cast<uint32_t>(key.step));
    counter3 = repeat((static_cast<uint32_t>(key.purpose) << 24) ^ key.stream);
  }
  [[gnu::always_inline]] void round(DrawLanes key0, DrawLanes key1) {
    const DrawLanes product0 = product_of_low(repeat(0xD2511F53u), counter0);
    const DrawLanes product1 = product_of_low(repeat(0xCD9E8D57u), counter2);
    counter0 = exclusive_or(high(product1), counter1, key0);
    counter2 = exclusive_or(high(product0), counter3, key1);
    counter1 = product1;
    counter3 = product0;
  }
};

// factors (4 * 2 * kDrawLanes) of the elements from `first` on. Two states at a time, because each product waits for
// the one before.
[[gnu::always_inline]] inline void draw_factors(float* factors, const RandomKey& key, uint64_t first,
                                                uint32_t threshold, float keep) {
  DrawState a(key, first), b(key, first + static_cast<uint64_t>(kDrawLanes));
  uint32_t key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const DrawLanes k0 = repeat(key0), k1 = repeat(key1);
    a.round(k0, k1);
    b.round(k0, k1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (const DrawState* state : {&a, &b}) {
    store_factors(factors, pairs_of_low(state->counter0, state->counter1),
                  pairs_of_low(state->counter2, state->counter3), threshold, keep);
    factors += 4 * kDrawLanes;
  }
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
    if constexpr (std::is_same_v<T, float>) {
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
    for (int64_t lane = 0; lane < 4; ++lane) {
      factors[4 * i + lane] = words[static_cast<size_t>(lane)] < threshold ? T(0) : keep;
    }
  }
#endif
}

}  // namespace moe::cpu::inline MOE_LEVEL
