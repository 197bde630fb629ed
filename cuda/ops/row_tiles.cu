#include "cuda/ops/row_tiles.h"

#include <algorithm>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

// One block. A thread cuts the rows of an expert into tiles. The position of its tiles and their total, *count, follow
// from sums over the preceding experts.
static __global__ void row_tiles_kernel(RowTile* tiles, int32_t* count, const int32_t* offsets, int experts,
                                        int tile_rows) {
  int* slots = &shared_memory<int>();
  int base = 0;
  for (int first = 0; first < experts; first += static_cast<int>(blockDim.x)) {
    const int expert = first + static_cast<int>(threadIdx.x);
    const int begin = expert < experts ? offsets[expert] : 0, end = expert < experts ? offsets[expert + 1] : 0;
    int total = 0;
    int place = base + block_exclusive_sum((end - begin + tile_rows - 1) / tile_rows, slots, total);
    for (int row = begin; row < end; row += tile_rows) tiles[place++] = {expert, row, min(row + tile_rows, end), 0};
    base += total;
  }
  if (threadIdx.x == 0) *count = base;
}

RowTiles::RowTiles(Context& ctx, ConstTensor offsets, int64_t rows, int64_t experts, int tile_rows)
    : scratch_(ctx),
      most_(rows / tile_rows + experts),
      tiles_(static_cast<RowTile*>(scratch_.allocate(Shape{most_, 4}, DType::i32).data)),
      count_(scratch_.allocate(Shape{1}, DType::i32).as<int32_t>()) {
  launch(ctx, row_tiles_kernel, dim3(1), 256, 32 * sizeof(int), tiles_, count_, offsets.as<int32_t>(),
         static_cast<int>(experts), tile_rows);
}

dim3 persistent_grid(const Context& ctx, int64_t tiles, int resident_each) {
  MOE_CHECK(tiles <= 2147483647 - 65536, "{} tiles", tiles);
  const int64_t resident = ctx.queue ? resident_each * ctx.queue->info().multiprocessors : 1;
  return dim3(static_cast<unsigned>(std::min(resident, tiles)));
}

}  // namespace moe::cuda
