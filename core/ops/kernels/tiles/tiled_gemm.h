// Products with operands in bf16 on one thread: blocks of A and B are rounded and packed as tiles, and 32 x 32 elements
// of C are computed at a time from two tiles of A and two of B.
//
// Unit is the instruction set. It has
//   round_row(from, to)         rounds 32 floats
//   round_pairs(even, odd, to)  rounds 2 x 16 floats and writes them as 16 pairs
//   move_tile<transpose>(from, ld, to)  copies a tile whose rows are `ld` apart, or transposes its 16 x 16 pairs
//   multiply(a, b, steps, c, ldc, load, fetch)  c (32, 32) = [c +] A B over panels of `steps` times two tiles; each
//                               element of c is summed in an order that depends on nothing but the positions along k.
//                               Calls fetch.step() at every step.
//   Scope                       an object that lives while a thread uses the unit
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>

#include "core/base/integer.h"
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/gemm/prefetch.h"
#include "core/ops/kernels/tiles/tile_pack.h"

namespace moe::cpu::MOE_LEVEL {

// Positions along k that are packed at a time. A sum goes on from C as it is stored, so this changes no result.
static constexpr int64_t kTiledDepth = 512;
// Rows of A and columns of B that are packed at a time: 512 and 256 KiB, together less than an L2 cache of 1 MiB. Where
// B is contiguous across, its rows are read in runs of so many columns.
static constexpr int64_t kTiledRows = 512;
static constexpr int64_t kTiledColumns = 256;

// The calling thread's memory for packed tiles.
class TileBuffers {
 public:
  static TileBuffers& of_this_thread() {
    static thread_local TileBuffers buffers;
    return buffers;
  }
  uint16_t* a() { return a_[0].elements; }
  uint16_t* b() { return b_[0].elements; }

 private:
  struct alignas(64) Line {
    uint16_t elements[32];
  };
  std::unique_ptr<Line[]> a_{new Line[kTiledRows * kTiledDepth / 32]}, b_{new Line[kTiledColumns * kTiledDepth / 32]};
};

// What is fetched while a block of C is computed, some at every step: the block's own lines, which are needed at the
// end, and a part of the next columns of B.
struct BlockFetch {
  BlockFetch(float* block, int64_t ld, int64_t steps, Prefetcher& next_b)
      : c(block), ldc(ld), rows_per_step(divide_up(kPanelExtent, steps)), next(next_b) {}

  [[gnu::always_inline]] void step() {
    for (const int64_t end = std::min(row + rows_per_step, kPanelExtent); row < end; ++row) {
      __builtin_prefetch(c + row * ldc, 1);
      __builtin_prefetch(c + row * ldc + kPanelExtent - 1, 1);
    }
    next.step();
  }

  float* c;
  int64_t ldc, rows_per_step, row = 0;
  Prefetcher& next;
};

// One block of C of at most 32 x 32 elements: c = [c +] alpha A B.
template <class Unit>
[[gnu::noinline]] void multiply_panels(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t ldc,
                                       int64_t rows, int64_t columns, bool load, Prefetcher& next, float alpha = 1) {
  if (rows >= kPanelExtent && columns >= kPanelExtent && alpha == 1) {
    BlockFetch fetch(c, ldc, steps, next);
    return Unit::multiply(a, b, steps, c, ldc, load, fetch);
  }
  alignas(64) float full[kPanelExtent * kPanelExtent];
  const int64_t height = std::min(rows, kPanelExtent), width = std::min(columns, kPanelExtent);
  const auto bytes = static_cast<size_t>(width) * sizeof(float);
  const bool load_full = load && alpha == 1;
  if (load_full) {
    std::memset(full, 0, sizeof(full));
    for (int64_t i = 0; i < height; ++i) std::memcpy(full + i * kPanelExtent, c + i * ldc, bytes);
  }
  BlockFetch fetch(full, kPanelExtent, steps, next);
  Unit::multiply(a, b, steps, full, kPanelExtent, load_full, fetch);
  if (alpha == 1) {
    for (int64_t i = 0; i < height; ++i) std::memcpy(c + i * ldc, full + i * kPanelExtent, bytes);
    return;
  }
  for (int64_t i = 0; i < height; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      const float product = alpha * full[i * kPanelExtent + j];
      c[i * ldc + j] = load ? c[i * ldc + j] + product : product;
    }
  }
}

template <class Unit>
void tiled_gemm(const GemmProblem<float>& problem) {
  const int64_t m = problem.m, n = problem.n, k = problem.k;
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (problem.accumulate) return;
    for (int64_t i = 0; i < m; ++i) std::memset(problem.c + i * problem.ldc, 0, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  TileBuffers& buffers = TileBuffers::of_this_thread();
  const typename Unit::Scope scope;
  const bool a_along = problem.transpose_a == Transpose::no, b_along = problem.transpose_b == Transpose::yes;
  for (int64_t p = 0; p < k; p += kTiledDepth) {
    const int64_t depth = std::min(kTiledDepth, k - p), steps = divide_up(depth, kTileDepth);
    const int64_t panel = steps * 2 * kTileElements;
    const bool load = problem.accumulate || p > 0;
    for (int64_t row0 = 0; row0 < m; row0 += kTiledRows) {
      const int64_t rows = std::min(kTiledRows, m - row0);
      pack_tiles<Unit, TileLayout::a>({.first = problem.a + (a_along ? row0 * problem.lda + p : p * problem.lda + row0),
                                       .ld = problem.lda,
                                       .along = a_along,
                                       .extent = rows,
                                       .depth = depth},
                                      buffers.a());
      for (int64_t column0 = 0; column0 < n; column0 += kTiledColumns) {
        const int64_t columns = std::min(kTiledColumns, n - column0);
        const auto b_at = [&](int64_t column) {
          return problem.b + (b_along ? column * problem.ldb + p : p * problem.ldb + column);
        };
        pack_tiles<Unit, TileLayout::b>(
            {.first = b_at(column0), .ld = problem.ldb, .along = b_along, .extent = columns, .depth = depth},
            buffers.b());
        // Weights come from memory: the next columns are fetched while these are multiplied.
        const int64_t next_columns = std::min(kTiledColumns, n - column0 - columns);
        Prefetcher next;
        if (next_columns > 0) {
          const int64_t all_steps = divide_up(rows, kPanelExtent) * divide_up(columns, kPanelExtent) * steps;
          next = b_along ? Prefetcher(b_at(column0 + columns), problem.ldb, next_columns, depth, all_steps)
                         : Prefetcher(b_at(column0 + columns), problem.ldb, depth, next_columns, all_steps);
        }
        for (int64_t row = 0; row < rows; row += kPanelExtent) {
          for (int64_t column = 0; column < columns; column += kPanelExtent) {
            multiply_panels<Unit>(buffers.a() + row / kPanelExtent * panel, buffers.b() + column / kPanelExtent * panel,
                                  steps, problem.c + (row0 + row) * problem.ldc + column0 + column, problem.ldc,
                                  rows - row, columns - column, load, next, problem.alpha);
          }
        }
      }
    }
  }
}

static inline void prepare_tile_buffers() {
  TileBuffers::of_this_thread();
}

template <class Unit>
constexpr GemmKernel<float> kTiledGemm{.serial = tiled_gemm<Unit>,
                                       .prepare_thread = prepare_tile_buffers,
                                       .tile_rows = kPanelExtent,
                                       .tile_columns = kPanelExtent,
                                       .packing_cost = 256,
                                       .min_work = int64_t{1} << 23};

}  // namespace moe::cpu::MOE_LEVEL
