// Products of bf16 numbers in the tile registers of AMX (Intel, "Intel Architecture Instruction Set Extensions",
// tdpbf16ps). An element's products at even and at odd positions of 32 are summed apart, each in a chain of fused
// multiply-adds; the two sums are added, and the result is added to C. tests/support/tile_model.h has this as plain
// C++.
#include <immintrin.h>

#include "core/ops/kernels/peak.h"
#include "core/ops/kernels/tiles/avx512_pack.h"
#include "core/ops/kernels/tiles/tiled_attention.h"
#include "core/ops/kernels/tiles/tiled_gemm.h"

namespace moe::cpu::inline MOE_LEVEL {
namespace {

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

struct Amx : Avx512Pack {
  // Tiles are configured per thread. Released, they are not saved when the system switches between threads.
  struct Scope {
    Scope() {
      static constexpr TileConfiguration kConfiguration;
      _tile_loadconfig(&kConfiguration);
    }
    ~Scope() { _tile_release(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };

  // Tiles 0 to 3 hold C, 4 and 5 hold A, 6 and 7 hold B.
  template <class Fetch>
  [[gnu::always_inline]] static void multiply(const uint16_t* a, const uint16_t* b, int64_t steps, float* c,
                                              int64_t ldc, bool load, Fetch& fetch) {
    constexpr int64_t kRow = 64;
    const int64_t stride = ldc * static_cast<int64_t>(sizeof(float));
    float* const below = c + kTileExtent * ldc;
    if (load) {
      _tile_loadd(0, c, stride);
      _tile_loadd(1, c + kTileExtent, stride);
      _tile_loadd(2, below, stride);
      _tile_loadd(3, below + kTileExtent, stride);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t step = 0; step < steps; ++step, a += 2 * kTileElements, b += 2 * kTileElements) {
      fetch.step();
      _tile_loadd(4, a, kRow);
      _tile_loadd(6, b, kRow);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b + kTileElements, kRow);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, a + kTileElements, kRow);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + kTileExtent, stride);
    _tile_stored(2, below, stride);
    _tile_stored(3, below + kTileExtent, stride);
  }
};

}  // namespace

static double peak_gflops(int threads) {
  constexpr int64_t kRounds = 200'000;
  alignas(64) static constexpr uint16_t kZeros[kTileElements] = {};
  return best_gflops(threads, 4.0 * 2 * 16 * 16 * 32 * kRounds, [] {
    const Amx::Scope scope;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, kZeros, 64);
    _tile_loadd(5, kZeros, 64);
    _tile_loadd(6, kZeros, 64);
    _tile_loadd(7, kZeros, 64);
    for (int64_t round = 0; round < kRounds; ++round) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    return 0.0f;  // the instructions are never left out
  });
}

extern const Bf16Kernels kernels;
const Bf16Kernels kernels{.gemm = kTiledGemm<Amx>,
                          .attention = {tiled_attention_forward<Amx>, tiled_attention_backward<Amx>},
                          .pack_b = pack_operand<Amx>,
                          .peak_gflops = peak_gflops};

}  // namespace moe::cpu::inline MOE_LEVEL
