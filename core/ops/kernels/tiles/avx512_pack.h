// Rounding and transposing with AVX-512 for the units that have vcvtne2ps2bf16.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

struct Avx512Pack {
  [[gnu::always_inline]] static void round_row(const float* from, uint16_t* to) {
    store(to, _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
  }

  [[gnu::always_inline]] static void round_pairs(const float* even, const float* odd, uint16_t* to) {
    // 16 even numbers, then 16 odd ones -> pairs
    alignas(64) static constexpr uint16_t kInterleaved[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                              21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                              11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(odd), _mm512_loadu_ps(even));
    _mm512_store_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kInterleaved), reinterpret_cast<__m512i>(both)));
  }

  // A tile, whose rows are `ld` apart; transposed as 16 x 16 pairs, in four stages of exchanging halves. `from` may be
  // `to`.
  template <bool transpose>
  [[gnu::always_inline]] static void move_tile(const uint16_t* from, int64_t ld, uint16_t* to) {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(from + i * ld);
    if constexpr (!transpose) {
      for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * 32, r[i]);
      return;
    }
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 16; i += 8) {
      for (int j = 0; j < 4; ++j) {
        t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0x88);
        t[i + 4 + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0xdd);
      }
    }
    for (int j = 0; j < 8; ++j) {
      _mm512_store_si512(to + j * 32, _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88));
      _mm512_store_si512(to + (8 + j) * 32, _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd));
    }
  }

  [[gnu::always_inline]] static void stream(const float* block, float* c, int64_t ldc) {
    for (int i = 0; i < 32; ++i) {
      _mm512_stream_ps(c + i * ldc, _mm512_load_ps(block + i * 32));
      _mm512_stream_ps(c + i * ldc + 16, _mm512_load_ps(block + i * 32 + 16));
    }
  }
  static void finish_streams() { _mm_sfence(); }

 private:
  [[gnu::always_inline]] static void store(uint16_t* to, __m512bh rounded) {
    _mm512_store_si512(to, reinterpret_cast<__m512i>(rounded));
  }
};

}  // namespace moe::cpu::inline MOE_LEVEL
