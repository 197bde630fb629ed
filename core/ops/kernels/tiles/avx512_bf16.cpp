// Products of bf16 numbers with vdpbf16ps, which adds to an f32 number the product of the odd numbers of a pair, then
// that of the even ones. On Intel's processors it is as fast as products of f32; on AMD's it is faster.
#include <immintrin.h>

#include "core/ops/kernels/peak.h"
#include "core/ops/kernels/tiles/avx512_pack.h"
#include "core/ops/kernels/tiles/tiled_attention.h"
#include "core/ops/kernels/tiles/tiled_gemm.h"

namespace moe::cpu::inline MOE_LEVEL {
namespace {

struct DotProducts : Avx512Pack {
  struct Scope {
    Scope() {}  // nothing to prepare; with a constructor, so that it counts as used
  };

  [[gnu::always_inline]] static __m512bh pairs(__m512i x) { return reinterpret_cast<__m512bh>(x); }

  // sum += products of a pair of numbers in memory and the pairs of b. As assembly, because clang 16 crashes on the
  // intrinsic with a pair that is repeated.
  [[gnu::always_inline]] static void add_products(__m512& sum, const uint16_t* pair, __m512i b) {
    asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*reinterpret_cast<const uint16_t(*)[2]>(pair)));
  }

  // Eight rows of C at a time: 16 sums, two vectors of B and a pair of A fit the registers.
  template <class Fetch>
  [[gnu::always_inline]] static void multiply(const uint16_t* a, const uint16_t* b, int64_t steps, float* c,
                                              int64_t ldc, bool load, Fetch& fetch) {
    constexpr int kRows = 8;
    for (int64_t row = 0; row < kPanelExtent; row += kRows) {
      const uint16_t* a_tile = a + row / kTileExtent * kTileElements + row % kTileExtent * kTileDepth;
      const uint16_t* b_tile = b;
      float* const c_row = c + row * ldc;
      __m512 sum[kRows][2];
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        sum[i][0] = load ? _mm512_loadu_ps(c_row + i * ldc) : _mm512_setzero_ps();
        sum[i][1] = load ? _mm512_loadu_ps(c_row + i * ldc + kTileExtent) : _mm512_setzero_ps();
      }
      for (int64_t step = 0; step < steps; ++step, a_tile += 2 * kTileElements, b_tile += 2 * kTileElements) {
        if (row == 0) fetch.step();
        for (int64_t pair = 0; pair < kTileDepth / 2; ++pair) {
          const __m512i left = _mm512_load_si512(b_tile + pair * 32);
          const __m512i right = _mm512_load_si512(b_tile + kTileElements + pair * 32);
#pragma GCC unroll 8
          for (int i = 0; i < kRows; ++i) {
            const uint16_t* const both = a_tile + i * kTileDepth + 2 * pair;
            add_products(sum[i][0], both, left);
            add_products(sum[i][1], both, right);
          }
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        _mm512_storeu_ps(c_row + i * ldc, sum[i][0]);
        _mm512_storeu_ps(c_row + i * ldc + kTileExtent, sum[i][1]);
      }
    }
  }
};

}  // namespace

static double peak_gflops(int threads) {
  constexpr int64_t kRounds = 1'000'000;
  constexpr int kChains = 12;
  return best_gflops(threads, 2.0 * 32 * kChains * kRounds, [] {
    const __m512i one = _mm512_set1_epi32(0x3f803f80);
    __m512 sum[kChains] = {};
    for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) {
        sum[i] = _mm512_dpbf16_ps(sum[i], DotProducts::pairs(one), DotProducts::pairs(one));
      }
    }
    float total = 0;
    for (int i = 0; i < kChains; ++i) total += sum[i][0];
    return total;
  });
}

extern const Bf16Kernels kernels;
const Bf16Kernels kernels{.gemm = kTiledGemm<DotProducts>,
                          .attention = {tiled_attention_forward<DotProducts>, tiled_attention_backward<DotProducts>},
                          .pack_b = pack_operand<DotProducts>,
                          .peak_gflops = peak_gflops};

}  // namespace moe::cpu::inline MOE_LEVEL
