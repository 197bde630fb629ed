// Copies a block of an operand into the order in which micro_kernel.h reads it: panels of `width` rows of
// op(A) or columns of op(B), each panel stored (k, width). The unused part of a last, narrower panel repeats
// a valid element.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/ops/kernels/gemm/gemm_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

// pack_along may write this many elements past the last panel.
inline constexpr int64_t kPackSlack = 4;

template <class T>
[[gnu::always_inline]] inline void transpose_4x4(const T* const rows[4], int64_t column, T* __restrict destination,
                                                 int64_t stride) {
  typedef T Vector __attribute__((vector_size(4 * sizeof(T))));
  Vector r0, r1, r2, r3;
  std::memcpy(&r0, rows[0] + column, sizeof(Vector));
  std::memcpy(&r1, rows[1] + column, sizeof(Vector));
  std::memcpy(&r2, rows[2] + column, sizeof(Vector));
  std::memcpy(&r3, rows[3] + column, sizeof(Vector));
  const Vector low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
  const Vector low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
  const Vector high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  const Vector high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  r0 = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  r1 = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  r2 = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  r3 = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  std::memcpy(destination, &r0, sizeof(Vector));
  std::memcpy(destination + stride, &r1, sizeof(Vector));
  std::memcpy(destination + 2 * stride, &r2, sizeof(Vector));
  std::memcpy(destination + 3 * stride, &r3, sizeof(Vector));
}

// The source is contiguous along k: source (extent, k).
template <int width, class T>
void pack_along(const T* source, int64_t ld, int64_t extent, int64_t k, T* __restrict packed) {
  // One cache line of a row: if rows are a power of two apart, more than eight lines at once would evict each other.
  constexpr int64_t kChunk = 64 / sizeof(T);
  for (int64_t first = 0; first < extent; first += width, packed += width * k) {
    for (int64_t p0 = 0; p0 < k; p0 += kChunk) {
      const int64_t p1 = std::min(k, p0 + kChunk);
      // Goes from the last group to the first: if width is not a multiple of 4, the last group writes past its end into
      // the next position of k, whose first group then overwrites that.
      for (int group = (width - 1) / 4 * 4; group >= 0; group -= 4) {
        const T* rows[4];
        for (int i = 0; i < 4; ++i) rows[i] = source + std::min(first + group + i, extent - 1) * ld;
        int64_t p = p0;
        for (; p + 4 <= p1; p += 4) transpose_4x4(rows, p, packed + p * width + group, width);
        for (; p < p1; ++p) {
          for (int i = 0; i < std::min(4, width - group); ++i) packed[p * width + group + i] = rows[i][p];
        }
      }
    }
  }
}

// The source is contiguous across the panels: source (k, extent).
template <int width, class T>
void pack_across(const T* source, int64_t ld, int64_t extent, int64_t k, T* __restrict packed) {
  // A few rows at a time, so that each of their cache lines is used for several panels while it is in the L1 cache.
  constexpr int64_t kChunk = 4;
  for (int64_t p0 = 0; p0 < k; p0 += kChunk) {
    const int64_t p1 = std::min(k, p0 + kChunk);
    T* panel = packed;
    int64_t first = 0;
    for (; first + width <= extent; first += width, panel += width * k) {
      for (int64_t p = p0; p < p1; ++p) {
        std::memcpy(panel + p * width, source + p * ld + first, width * sizeof(T));
      }
    }
    if (first == extent) continue;
    for (int64_t p = p0; p < p1; ++p) {
      for (int64_t i = 0; i < width; ++i) panel[p * width + i] = source[p * ld + std::min(first + i, extent - 1)];
    }
  }
}

// Packs the block of `extent` rows of op(A) from (row, p) on, k elements long.
template <int width, class T>
void pack_a(const GemmProblem<T>& problem, int64_t row, int64_t extent, int64_t p, int64_t k, T* packed) {
  if (problem.transpose_a == Transpose::yes) {
    pack_across<width>(problem.a + p * problem.lda + row, problem.lda, extent, k, packed);
  } else {
    pack_along<width>(problem.a + row * problem.lda + p, problem.lda, extent, k, packed);
  }
}

// Packs the block of `extent` columns of op(B) from (p, column) on, k elements long.
template <int width, class T>
void pack_b(const GemmProblem<T>& problem, int64_t p, int64_t k, int64_t column, int64_t extent, T* packed) {
  if (problem.transpose_b == Transpose::yes) {
    pack_along<width>(problem.b + column * problem.ldb + p, problem.ldb, extent, k, packed);
  } else {
    pack_across<width>(problem.b + p * problem.ldb + column, problem.ldb, extent, k, packed);
  }
}

}  // namespace moe::cpu::inline MOE_LEVEL
