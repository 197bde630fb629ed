// Operands of bf16 products as tiles of 16 x 32 bf16 numbers, 1 KiB each, in the two layouts of AMX's instruction:
//   A: a row of the tile holds 32 numbers along k of one row of A
//   B: a row of the tile holds a pair of numbers along k for each of 16 columns of B
// As 16 x 16 pairs of numbers, one is the transpose of the other. Two tiles of neighbouring rows (or columns) follow
// each other, then those of the next 32 positions along k. Rows, columns and positions that are missing are zero. Unit:
// the instructions, see tiled_gemm.h.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

static constexpr int64_t kTileExtent = 16;                // rows of A or columns of B in a tile
static constexpr int64_t kTileDepth = 32;                 // positions along k
static constexpr int64_t kPanelExtent = 2 * kTileExtent;  // of two tiles
static constexpr int64_t kTileElements = kTileExtent * kTileDepth;

enum class TileLayout { a, b };

// A block of an operand: `extent` rows of A (or columns of B), `depth` positions along k.
struct TileSource {
  const float* first;
  int64_t ld;
  bool along;  // contiguous along k; otherwise across the rows (or columns)
  int64_t extent, depth;
};

// Positions of a block's tiles: panels of two tiles of rows (or columns), each for all positions along k.
struct TilePlaces {
  uint16_t* block;
  int64_t steps;
  [[gnu::always_inline]] uint16_t* at(int64_t row, int64_t p) const {
    return block + row / kPanelExtent * steps * 2 * kTileElements + p / kTileDepth * 2 * kTileElements +
           row % kPanelExtent / kTileExtent * kTileElements;
  }
};

// From a source that is contiguous along k. Sixteen rows are rounded one after the other, because memory is read faster
// in long runs.
template <class Unit, TileLayout layout>
[[gnu::noinline]] void pack_tiles_along(const TileSource& source, const TilePlaces& places) {
  // Rows of the strip are not a power of two apart, so that they do not share lines of the L1 cache.
  constexpr int64_t kStripDepth = 512, kStripLd = kStripDepth + kTileDepth;
  alignas(64) uint16_t strip[kTileExtent * kStripLd];
  for (int64_t row = 0; row < source.extent; row += kTileExtent) {
    const int64_t rows = std::min(kTileExtent, source.extent - row);
    for (int64_t p0 = 0; p0 < source.depth; p0 += kStripDepth) {
      const int64_t end = std::min(source.depth, p0 + kStripDepth);
      for (int64_t i = 0; i < kTileExtent; ++i) {
        const float* from = source.first + (row + std::min(i, rows - 1)) * source.ld;
        uint16_t* const to = strip + i * kStripLd;
        for (int64_t p = p0; p < end; p += kTileDepth) {
          if (i < rows && p + kTileDepth <= end) {
            Unit::round_row(from + p, to + p - p0);
          } else {
            float padded[kTileDepth] = {};
            if (i < rows)
              std::memcpy(padded, from + p,
                          static_cast<size_t>(end - p < kTileDepth ? end - p : kTileDepth) * sizeof(float));
            Unit::round_row(padded, to + p - p0);
          }
        }
      }
      for (int64_t p = p0; p < end; p += kTileDepth) {
        Unit::template move_tile<layout == TileLayout::b>(strip + p - p0, kStripLd, places.at(row, p));
      }
    }
  }
}

// From a source that is contiguous across: two positions along k at a time, for all rows (or columns).
template <class Unit, TileLayout layout>
[[gnu::noinline]] void pack_tiles_across(const TileSource& source, const TilePlaces& places) {
  for (int64_t p0 = 0; p0 < source.depth; p0 += kTileDepth) {
    for (int64_t p = p0; p < p0 + kTileDepth; p += 2) {
      const int64_t present = source.depth - p;  // of the two positions
      for (int64_t row = 0; row < source.extent; row += kTileExtent) {
        uint16_t* const to = places.at(row, p) + (p - p0) * kTileExtent;
        const float* const from = source.first + p * source.ld + row;
        if (present >= 2 && row + kTileExtent <= source.extent) {
          Unit::round_pairs(from, from + source.ld, to);
        } else {
          float two[2][kTileExtent] = {};
          const auto bytes = static_cast<size_t>(std::min(kTileExtent, source.extent - row)) * sizeof(float);
          if (present >= 1) std::memcpy(two[0], from, bytes);
          if (present >= 2) std::memcpy(two[1], from + source.ld, bytes);
          Unit::round_pairs(two[0], two[1], to);
        }
      }
    }
    if constexpr (layout == TileLayout::a) {
      for (int64_t row = 0; row < source.extent; row += kTileExtent) {
        uint16_t* const tile = places.at(row, p0);
        Unit::template move_tile<true>(tile, kTileDepth, tile);
      }
    }
  }
}

template <class Unit, TileLayout layout>
void pack_tiles(const TileSource& source, uint16_t* block) {
  const TilePlaces places{block, (source.depth + kTileDepth - 1) / kTileDepth};
  if (source.along) {
    pack_tiles_along<Unit, layout>(source, places);
  } else {
    pack_tiles_across<Unit, layout>(source, places);
  }
  // The second tile of a last panel that has rows for one only.
  const int64_t whole = (source.extent + kTileExtent - 1) / kTileExtent * kTileExtent;
  if (whole % kPanelExtent == 0) return;
  for (int64_t p = 0; p < source.depth; p += kTileDepth) {
    std::memset(places.at(whole, p), 0, kTileElements * sizeof(uint16_t));
  }
}

}  // namespace moe::cpu::inline MOE_LEVEL
