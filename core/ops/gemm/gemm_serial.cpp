// The blocked product on one thread (Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication", 2008): a block of A stays in the L2 cache, a panel of B in the L1 cache, a tile of C in
// registers.
#include <algorithm>
#include <array>
#include <vector>

#include "core/ops/gemm/gemm.h"
#include "core/ops/gemm/micro_kernel.h"
#include "core/ops/gemm/pack.h"

namespace moe::cpu {
namespace {

// Block sizes for 32 KiB of L1 and 512 KiB of L2 cache, in elements of f32; f64 halves the depth.
template <class T>
inline constexpr int64_t kMaxDepth = 256 * 4 / sizeof(T);  // a panel of B takes half the L1 cache
inline constexpr int64_t kMaxRows =
    144 / kTileRows * kTileRows;  // a block of A takes a third of the L2 cache
template <class T>
inline constexpr int64_t kMaxColumns = 2048 / kTileColumns<T>* kTileColumns<T>;  // packed B: 2 MiB of L3
// Panels of B that are packed together: a row of four is 256 contiguous bytes, which prefetchers like better
// than 64.
inline constexpr int64_t kPanelsPerPack = 4;

// Cuts `total` into equal blocks of at most `limit`, multiples of `unit` but for the last.
int64_t block_size(int64_t total, int64_t limit, int64_t unit) {
  const int64_t num_blocks = (total + limit - 1) / limit;
  const int64_t size = (total + num_blocks - 1) / num_blocks;
  return (size + unit - 1) / unit * unit;
}

// Memory for packed panels: aligned to cache lines, grown when needed, kept by the thread.
template <class T>
class PackBuffer {
 public:
  T* reserve(int64_t num_elements) {
    const size_t num_lines = (num_elements + kPackSlack) * sizeof(T) / sizeof(Line) + 1;
    if (lines_.size() < num_lines) {
      lines_ = {};  // frees first: nothing has to be copied
      lines_.resize(num_lines);
    }
    return lines_.data()->elements;
  }

 private:
  struct alignas(64) Line {
    T elements[64 / sizeof(T)];
  };
  std::vector<Line> lines_;
};

// packed_a (rows, k) times one packed panel of B (k, columns <= kTileColumns) -> c.
template <class T>
void multiply_panel(const T* packed_a, const T* packed_b, int64_t rows, int64_t columns, int64_t k, T alpha,
                    bool accumulate, T* c, int64_t ldc) {
  constexpr int64_t kColumns = kTileColumns<T>;
  for (int64_t row = 0; row < rows; row += kTileRows) {
    const int64_t num_rows = std::min<int64_t>(kTileRows, rows - row);
    const TileFunction<T> multiply = kTileFunctions<T>[num_rows - 1];
    T* tile = c + row * ldc;
    if (columns == kColumns) {
      multiply(packed_a + row * k, packed_b, k, alpha, accumulate, tile, ldc);
      continue;
    }
    // A narrow tile goes through a full one, so that its elements see the very same operations.
    alignas(64) T full[kTileRows * kColumns] = {};
    if (accumulate) {
      for (int64_t i = 0; i < num_rows; ++i) std::copy_n(tile + i * ldc, columns, full + i * kColumns);
    }
    multiply(packed_a + row * k, packed_b, k, alpha, accumulate, full, kColumns);
    for (int64_t i = 0; i < num_rows; ++i) std::copy_n(full + i * kColumns, columns, tile + i * ldc);
  }
}

}  // namespace

template <class T>
void gemm_serial(const GemmProblem<T>& problem) {
  const auto [m, n, k] = std::array{problem.m, problem.n, problem.k};
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (problem.accumulate) return;
    for (int64_t i = 0; i < m; ++i) std::fill_n(problem.c + i * problem.ldc, n, T{0});
    return;
  }

  constexpr int64_t kColumns = kTileColumns<T>;
  constexpr int64_t kPackColumns = kPanelsPerPack * kColumns;
  const int64_t block_depth =
      block_size(k, kMaxDepth<T>, 4);  // of k alone: it decides the order of summation
  const int64_t block_rows = block_size(m, kMaxRows, kTileRows);
  const int64_t block_columns = block_size(n, kMaxColumns<T>, kPackColumns);
  const bool keep_b = block_rows < m;  // several blocks of A meet the same panels of B

  static thread_local PackBuffer<T> buffer_a, buffer_b;
  T* const packed_a = buffer_a.reserve(block_rows * block_depth);
  T* const packed_b = buffer_b.reserve((keep_b ? block_columns : kPackColumns) * block_depth);

  for (int64_t column0 = 0; column0 < n; column0 += block_columns) {
    const int64_t columns = std::min(block_columns, n - column0);
    for (int64_t p = 0; p < k; p += block_depth) {
      const int64_t depth = std::min(block_depth, k - p);
      const bool accumulate = problem.accumulate || p > 0;
      for (int64_t row = 0; row < m; row += block_rows) {
        const int64_t rows = std::min(block_rows, m - row);
        pack_a<kTileRows>(problem, row, rows, p, depth, packed_a);
        for (int64_t column = 0; column < columns; column += kColumns) {
          // B is packed at its first use, so that the panel is still in a near cache when it is read.
          const int64_t in_pack = column % kPackColumns;
          T* const pack = packed_b + (keep_b ? column - in_pack : 0) * depth;
          if (row == 0 && in_pack == 0) {
            pack_b<kColumns>(problem, p, depth, column0 + column, std::min(kPackColumns, columns - column),
                             pack);
          }
          T* const c = problem.c + row * problem.ldc + column0 + column;
          multiply_panel(packed_a, pack + in_pack * depth, rows, std::min(kColumns, columns - column), depth,
                         problem.alpha, accumulate, c, problem.ldc);
        }
      }
    }
  }
}

template void gemm_serial(const GemmProblem<float>&);
template void gemm_serial(const GemmProblem<double>&);

}  // namespace moe::cpu
