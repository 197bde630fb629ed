// Tiles of matrices between global and shared memory. All threads of a block take part. Rows of a tile are kStride
// elements apart, a few more than its columns, so that a column of 8 rows covers all banks. Offsets within a tile are
// 32-bit: leading dimensions are far below 2^31 / 128.
#pragma once
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

// Elements between two rows of a tile with kColumns columns: 16 bytes more than the columns.
template <class T>
constexpr int tile_stride(int columns) {
  return columns + kPerVector<T>;
}

// Loads the kRows x kColumns block at `source`, of which only `rows` x `columns` exist; the rest becomes zero. With
// `vectors` (rows start and end at 16-byte boundaries) it uses cp.async: the caller commits and waits. Otherwise it
// uses ordinary stores.
template <int kRows, int kColumns, int kStride, int kThreads, class T>
__device__ inline void load_tile(T* tile, const T* source, int ld, int rows, int columns, bool vectors) {
  const int thread = static_cast<int>(threadIdx.x);
  if (vectors) {
    constexpr int kPieces = kColumns / kPerVector<T>;
#pragma unroll
    for (int i = thread; i < kRows * kPieces; i += kThreads) {
      const int row = i / kPieces, column = i % kPieces * kPerVector<T>;
      const bool exists = row < rows && column < columns;
      cp_async_cg_16(tile + row * kStride + column, exists ? source + row * ld + column : source, exists);
    }
  } else {
#pragma unroll 1
    for (int i = thread; i < kRows * kColumns; i += kThreads) {
      const int row = i / kColumns, column = i % kColumns;
      tile[row * kStride + column] = row < rows && column < columns ? source[row * ld + column] : T{};
    }
  }
}

// Stores the existing part of a tile to global memory by kThreads threads, of which this is number `thread`; kAdd: adds
// to the present values.
template <int kRows, int kColumns, int kStride, int kThreads, bool kAdd, class T>
__device__ inline void store_tile(T* target, const T* tile, int ld, int rows, int columns, bool vectors, int thread) {
  if (vectors) {
    constexpr int kPer = kPerVector<T>, kPieces = kColumns / kPer;
#pragma unroll 2
    for (int i = thread; i < kRows * kPieces; i += kThreads) {
      const int row = i / kPieces, column = i % kPieces * kPer;
      if (row >= rows || column >= columns) continue;
      Floats<kPer> value = load_vector<kPer>(tile + row * kStride + column);
      T* to = target + row * ld + column;
      if constexpr (kAdd) {
        const Floats<kPer> before = load_vector<kPer>(to);
#pragma unroll
        for (int j = 0; j < kPer; ++j) value.v[j] += before.v[j];
      }
      store_vector(to, value);
    }
  } else {
#pragma unroll 1
    for (int i = thread; i < kRows * kColumns; i += kThreads) {
      const int row = i / kColumns, column = i % kColumns;
      if (row >= rows || column >= columns) continue;
      T* to = target + row * ld + column;
      store(to, load(tile + row * kStride + column) + (kAdd ? load(to) : 0.0f));
    }
  }
}

}  // namespace moe::cuda
