// The units of core/ops/kernels/tiles as plain C++, so that the data flow of their products is tested on any processor,
// and the processor's results where it has the instruction.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/ops/kernels/round_bf16.h"
#include "core/ops/kernels/tiles/tiled_gemm.h"

namespace moe::test {

// An f32 number as the instructions read and write it: denormal numbers are zero.
inline float flushed(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

struct PlainPack {
  struct Scope {
    Scope() {}  // with a constructor, so that it counts as used
  };
  static uint16_t rounded(float x) { return static_cast<uint16_t>(cpu::rounded_bits(x) >> 16); }
  static void round_row(const float* from, uint16_t* to) {
    for (int i = 0; i < 32; ++i) to[i] = rounded(from[i]);
  }
  static void round_pairs(const float* even, const float* odd, uint16_t* to) {
    for (int i = 0; i < 16; ++i) {
      to[2 * i] = rounded(even[i]);
      to[2 * i + 1] = rounded(odd[i]);
    }
  }
  template <bool transpose>
  static void move_tile(const uint16_t* from, int64_t ld, uint16_t* to) {
    uint16_t tile[512];
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 16; ++j) {
        std::memcpy(tile + (transpose ? j * 16 + i : i * 16 + j) * 2, from + i * ld + 2 * j, 2 * sizeof(uint16_t));
      }
    }
    std::memcpy(to, tile, sizeof(tile));
  }

  static void stream(const float* block, float* c, int64_t ldc) {
    for (int i = 0; i < 32; ++i) std::memcpy(c + i * ldc, block + i * 32, 32 * sizeof(float));
  }
  static void finish_streams() {}

  static float number(uint16_t bits) { return flushed(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16)); }
  // Elements of packed panels at a position along k of 32 times `steps`.
  static float a_at(const uint16_t* panel, int64_t row, int64_t p) {
    return number(panel[p / 32 * 1024 + row / 16 * 512 + row % 16 * 32 + p % 32]);
  }
  static float b_at(const uint16_t* panel, int64_t p, int64_t column) {
    return number(panel[p / 32 * 1024 + column / 16 * 512 + p % 32 / 2 * 32 + column % 16 * 2 + p % 2]);
  }
};

// One way to add the products of a row of A and a column of B, at `steps` times 32 positions, to a number.
template <class Sum>
struct TileUnit : PlainPack {
  template <class Fetch>
  static void multiply(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t ldc, bool load, Fetch&) {
    for (int64_t i = 0; i < 32; ++i) {
      for (int64_t j = 0; j < 32; ++j) {
        const auto product = [&](int64_t p, float sum) { return flushed(std::fma(a_at(a, i, p), b_at(b, p, j), sum)); };
        c[i * ldc + j] = Sum::of(product, 32 * steps, load ? flushed(c[i * ldc + j]) : 0);
      }
    }
  }
};

// tdpbf16ps: of 32 positions the even and the odd ones are summed apart.
struct ApartSum {
  template <class Product>
  static float of(const Product& product, int64_t positions, float sum) {
    for (int64_t first = 0; first < positions; first += 32) {
      float even = 0, odd = 0;
      for (int64_t p = first; p < first + 32; p += 2) even = product(p, even), odd = product(p + 1, odd);
      sum = flushed(sum + flushed(even + odd));
    }
    return sum;
  }
};
using TileModel = TileUnit<ApartSum>;

// vdpbf16ps: one chain, of each pair the odd number first.
struct ChainSum {
  template <class Product>
  static float of(const Product& product, int64_t positions, float sum) {
    for (int64_t p = 0; p < positions; p += 2) sum = product(p, product(p + 1, sum));
    return sum;
  }
};
using DotModel = TileUnit<ChainSum>;

}  // namespace moe::test
