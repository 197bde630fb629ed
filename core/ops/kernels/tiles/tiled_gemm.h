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
//   stream(block, c, ldc)       writes 32 x 32 elements to c past the caches; finish_streams() ends such writes
//   Scope                       an object that lives while a thread uses the unit
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>

#include "core/base/integer.h"
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/gemm/prefetch.h"
#include "core/ops/kernels/tiles/tile_pack.h"

namespace moe::cpu::inline MOE_LEVEL {

// Positions along k, rows of A and elements of B that are packed at a time: at most 1 MiB and 256 KiB. They are meant
// for an L2 cache of 2 MiB, which processors with AMX have, with room for the next elements of B as f32. A sum goes on
// from C as it is stored, so the sizes change no result; but each further block along k reads and writes C again.
static constexpr int64_t kTiledDepth = 1024;
static constexpr int64_t kTiledRows = 512;
static constexpr int64_t kTiledElementsB = 128 * 1024;
// A C of up to so many bytes stays in the L2 cache. A B across is then packed in blocks of fewer positions and more
// columns, because memory is read faster in long runs.
static constexpr int64_t kSmallC = 512 << 10;
static constexpr int64_t kTiledDepthOfSmallC = 256;

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
  std::unique_ptr<Line[]> a_{new Line[kTiledRows * kTiledDepth / 32]}, b_{new Line[kTiledElementsB / 32]};
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
                                       int64_t rows, int64_t columns, bool load, Prefetcher& next, float alpha = 1,
                                       bool streamed = false) {
  if (rows >= kPanelExtent && columns >= kPanelExtent && alpha == 1 && !streamed) {
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
  if (streamed && height == kPanelExtent && width == kPanelExtent) return Unit::stream(full, c, ldc);
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

// A block of B, as it is stored, or as it was packed: panels that are `packed_panel` elements apart.
struct BlockOfB {
  TileSource source;
  const uint16_t* packed;
  int64_t packed_panel;

  Prefetcher fetch(int64_t num_steps) const {
    if (packed) {
      const int64_t panels = divide_up(source.extent, kPanelExtent);
      return {packed, packed_panel, panels, divide_up(source.depth, kTileDepth) * 2 * kTileElements, num_steps};
    }
    return source.along ? Prefetcher(source.first, source.ld, source.extent, source.depth, num_steps)
                        : Prefetcher(source.first, source.ld, source.depth, source.extent, num_steps);
  }
};

template <class Unit>
void pack_operand(const PackedOperand& x) {
  pack_tiles<Unit, TileLayout::b>(
      {.first = x.b, .ld = x.ldb, .along = x.transpose_b == Transpose::yes, .extent = x.n, .depth = x.k}, x.tiles);
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
  // Equal blocks along k.
  const int64_t all_steps = divide_up(k, kTileDepth);
  const bool small_c = !b_along && !problem.packed_b && m * n * static_cast<int64_t>(sizeof(float)) <= kSmallC;
  const int64_t most_steps = (small_c ? kTiledDepthOfSmallC : kTiledDepth) / kTileDepth;
  const int64_t block_steps = divide_up(all_steps, divide_up(all_steps, most_steps));
  const int64_t block_depth = block_steps * kTileDepth;
  const int64_t block_columns = kTiledElementsB / block_depth / kPanelExtent * kPanelExtent;
  const bool streamed = problem.streamed && !problem.accumulate && problem.alpha == 1 && block_depth >= k &&
                        problem.ldc % kTileExtent == 0 && reinterpret_cast<uintptr_t>(problem.c) % 64 == 0;
  const auto b_block = [&](int64_t p, int64_t column) {
    return BlockOfB{.source = {.first = problem.b + (b_along ? column * problem.ldb + p : p * problem.ldb + column),
                               .ld = problem.ldb,
                               .along = b_along,
                               .extent = std::min(block_columns, n - column),
                               .depth = std::min(block_depth, k - p)},
                    .packed = problem.packed_b ? problem.packed_b + (column * all_steps + p) * kTileDepth : nullptr,
                    .packed_panel = all_steps * 2 * kTileElements};
  };
  for (int64_t p = 0; p < k; p += block_depth) {
    const int64_t depth = std::min(block_depth, k - p), steps = divide_up(depth, kTileDepth);
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
      for (int64_t column0 = 0; column0 < n; column0 += block_columns) {
        const BlockOfB block = b_block(p, column0);
        if (!block.packed) pack_tiles<Unit, TileLayout::b>(block.source, buffers.b());
        const uint16_t* const b = block.packed ? block.packed : buffers.b();
        const int64_t b_panel = block.packed ? block.packed_panel : panel, columns = block.source.extent;
        // Weights come from memory: the block that is used next is fetched while this one is multiplied.
        Prefetcher next;
        const int64_t products = divide_up(rows, kPanelExtent) * divide_up(columns, kPanelExtent);
        if (column0 + block_columns < n) {
          next = b_block(p, column0 + block_columns).fetch(products * steps);
        } else if (row0 + rows == m && p + depth < k) {
          next = b_block(p + depth, 0).fetch(products * steps);
        }
        for (int64_t row = 0; row < rows; row += kPanelExtent) {
          for (int64_t column = 0; column < columns; column += kPanelExtent) {
            multiply_panels<Unit>(buffers.a() + row / kPanelExtent * panel, b + column / kPanelExtent * b_panel, steps,
                                  problem.c + (row0 + row) * problem.ldc + column0 + column, problem.ldc, rows - row,
                                  columns - column, load, next, problem.alpha, streamed);
          }
        }
      }
    }
  }
  if (streamed) Unit::finish_streams();
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

}  // namespace moe::cpu::inline MOE_LEVEL
