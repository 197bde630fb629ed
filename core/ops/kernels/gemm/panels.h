// Products of panels: the step between whole operands (gemm.h) and one tile in registers (micro_kernel.h).
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/ops/kernels/gemm/micro_kernel.h"

namespace moe::cpu::inline MOE_LEVEL {

// Rows of A: panels of kTileRows rows from pack.h, each k long, or rows in place.
template <class T>
struct BlockA {
  const T* a;
  int64_t lda;
  Rows rows;

  // The block from a row on, which must be a multiple of kTileRows, or from a position along k on.
  BlockA from_row(int64_t row, int64_t k) const { return {a + row * (rows == Rows::packed ? k : lda), lda, rows}; }
  BlockA from(int64_t p) const { return {a + p * (rows == Rows::packed ? kTileRows : 1), lda, rows}; }
  TileFunction<T> multiply(int64_t num_rows) const {
    return rows == Rows::packed ? kTileFunctions<T, Rows::packed>[num_rows - 1]
                                : kTileFunctions<T, Rows::in_place>[num_rows - 1];
  }
};

// Destination of products.
template <class T>
struct Output {
  T* c;
  int64_t ldc;
  T alpha = 1;
  bool accumulate = false;

  Output at(int64_t row, int64_t column) const { return {c + row * ldc + column, ldc, alpha, accumulate}; }
};

// Multiplies one panel of A (rows <= kTileRows, k) by one of B (k, columns <= kTileColumns).
template <class T>
inline void multiply_panels(const BlockA<T>& a, int64_t rows, const T* b, int64_t columns, int64_t k,
                            const Output<T>& out) {
  const TileFunction<T> multiply = a.multiply(rows);
  if (columns == kTileColumns<T>) {
    multiply(a.a, a.lda, b, k, out.alpha, out.accumulate, out.c, out.ldc);
    return;
  }
  // A narrow tile is computed as a full tile, so that its elements result from exactly the same operations.
  alignas(64) T full[kTileRows * kTileColumns<T>] = {};
  if (out.accumulate) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(out.c + i * out.ldc, columns, full + i * kTileColumns<T>);
  }
  multiply(a.a, a.lda, b, k, out.alpha, out.accumulate, full, kTileColumns<T>);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(full + i * kTileColumns<T>, columns, out.c + i * out.ldc);
}

}  // namespace moe::cpu::inline MOE_LEVEL
