// The innermost product: one tile of C in registers, from a packed panel of B (pack.h) and rows of A, packed or in
// place.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;  // SSE2, NEON
#endif

// The widest tile whose accumulators, two vectors of B and one broadcast element of A fit the register file.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileRows = 14;  // 32 registers
#else
inline constexpr int kTileRows = 6;  // 16 registers
#endif
template <class T>
inline constexpr int kTileColumns = 2 * kVectorBytes / static_cast<int>(sizeof(T));

// Calls f(0), ..., f(n - 1) with compile-time indices. An array that is only indexed this way stays in registers. With
// a loop that the compiler must unroll it may stay on the stack, at a third of the speed.
template <int n, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, n>{});
}

// Storage of the tile's rows of A.
enum class Rows { packed, in_place };

// A: a (k, kTileRows) packed, of which the first num_rows are used, or a (num_rows, k) with rows lda apart; b (k,
// kTileColumns) packed -> c (num_rows, kTileColumns) = alpha A b [+ c]. Each element is one chain of fused
// multiply-adds over k, independent of num_rows and of the storage of A.
template <class T, Rows rows, int num_rows>
void multiply_tile(const T* __restrict a, int64_t lda, const T* __restrict b, int64_t k, T alpha, bool accumulate,
                   T* __restrict c, int64_t ldc) {
  const int64_t next_row = rows == Rows::packed ? 1 : lda;
  constexpr int64_t kNextK = rows == Rows::packed ? kTileRows : 1;
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  constexpr int kLanes = kVectorBytes / sizeof(T);

  // C is needed only at the end of the loop, so it is prefetched during the loop.
  unroll<num_rows>([&](auto i) __attribute__((always_inline)) {
    __builtin_prefetch(c + i * ldc, 1);
    __builtin_prefetch(c + i * ldc + kTileColumns<T> - 1, 1);
  });

  Vector sum[num_rows][2] = {};
#pragma GCC unroll 4
  for (int64_t p = 0; p < k; ++p) {
    Vector b0, b1;
    std::memcpy(&b0, b, sizeof(Vector));
    std::memcpy(&b1, b + kLanes, sizeof(Vector));
    unroll<num_rows>([&](auto i) __attribute__((always_inline)) {
      sum[i][0] += a[i * next_row] * b0;
      sum[i][1] += a[i * next_row] * b1;
    });
    a += kNextK;
    b += kTileColumns<T>;
  }

  unroll<num_rows>([&](auto i) __attribute__((always_inline)) {
    unroll<2>([&](auto j) __attribute__((always_inline)) {
      T* destination = c + i * ldc + j * kLanes;
      Vector result;
      if (accumulate) {
        std::memcpy(&result, destination, sizeof(Vector));
        result += alpha * sum[i][j];
      } else {
        result = alpha * sum[i][j];
      }
      std::memcpy(destination, &result, sizeof(Vector));
    });
  });
}

template <class T>
using TileFunction = void (*)(const T* a, int64_t lda, const T* b, int64_t k, T alpha, bool accumulate, T* c,
                              int64_t ldc);

// The function for each number of rows: kTileFunctions<T, rows>[num_rows - 1].
template <class T, Rows rows>
inline constexpr auto kTileFunctions = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<TileFunction<T>, sizeof...(i)>{multiply_tile<T, rows, i + 1>...};
}
(std::make_integer_sequence<int, kTileRows>{});

}  // namespace moe::cpu::inline MOE_LEVEL
