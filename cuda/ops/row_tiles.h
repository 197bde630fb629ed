// Tiles of rows that are sorted by expert, cut on the device, so that no routing data goes to the host.
#pragma once
#include <cuda_runtime.h>

#include "core/tensor/context.h"

namespace moe::cuda {

// Rows [begin, end) of the sorted rows, all of one expert.
struct RowTile {
  int32_t expert, begin, end, unused;
};

// Cuts each expert's rows into tiles of at most `tile_rows`, in the order of experts and rows. offsets (experts + 1)
// i32 on the device; `rows` is at least the last offset.
class RowTiles {
 public:
  RowTiles(Context& ctx, ConstTensor offsets, int64_t rows, int64_t experts, int tile_rows);
  const RowTile* tiles() const { return tiles_; }
  const int32_t* count() const { return count_; }  // on the device
  int64_t most() const { return most_; }           // upper bound of the number of tiles

 private:
  ScratchScope scratch_;
  int64_t most_;
  RowTile* tiles_;
  int32_t* count_;
};

// Blocks for a kernel that loops over tiles: the number that is resident at once, or fewer when there are fewer tiles.
dim3 persistent_grid(const Context& ctx, int64_t tiles, int resident_each);

}  // namespace moe::cuda
