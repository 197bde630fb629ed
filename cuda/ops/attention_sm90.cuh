// Shared by forward and backward of Hopper's attention. Blocks have three warpgroups: one thread of the first copies
// tiles of heads, and the two others multiply, 64 rows each.
#pragma once
#include <numbers>
#include <type_traits>

#include "core/ops/attention_layout.h"
#include "cuda/kernel/wgmma_tile.cuh"
#include "cuda/ops/attention_sm90.h"

namespace moe::cuda::sm90 {

inline constexpr int kThreads = 3 * kWarpgroup;
inline constexpr int kCopyRegisters = 24, kMultiplyRegisters = 240;
inline constexpr int kMultiplyWarps = 8;
inline constexpr int kGroupRows = 64;  // rows of a warpgroup
inline constexpr float kLog2e = std::numbers::log2e_v<float>;

// Describes a tensor (tokens, heads * d_head) as (d_head, heads, time, sequences), so that copies stop at the end of a
// head and of a sequence. Elements past either end are read as zero and not written.
inline TensorMap map_of_heads(const void* data, int64_t heads, int64_t tokens, const AttentionLayout& l, int rows) {
  const int64_t width = heads * l.d_head;
  return make_tensor_map(
      data, {{l.d_head, 1, kChunk}, {heads, l.d_head, 1}, {l.time, width, rows}, {tokens / l.time, l.time * width, 1}});
}

// Loads kRows rows of a head from `row` on, padded to kD columns.
template <int kRows, int kD>
__device__ inline void load_head(BFloat16* tile, const TensorMap& map, uint64_t& full, int head, int row,
                                 int sequence) {
#pragma unroll
  for (int c = 0; c < kD / kChunk; ++c)
    tma_load_4d(tile + c * kRows * kChunk, map, full, c * kChunk, head, row, sequence);
}

// Stores a warp's 16 rows of an accumulator times `factor` to rows row.. of a head, through `tile`: the warpgroup's 64
// x kD block of shared memory, of which the warp uses its own rows. The copy continues asynchronously.
template <int kD>
__device__ inline void store_head(const TensorMap& map, BFloat16* tile, const float (&c)[kD / 8][4],
                                  const float (&factor)[2], int head, int row, int sequence) {
  const int lane = lane_index(), warp_row = warp_index() % 4 * 16;
#pragma unroll
  for (int j = 0; j < kD / 8; ++j) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int own = warp_row + accumulator_row(lane, 2 * half);
      BFloat16* at = tile + j / 8 * kGroupRows * kChunk + swizzled_piece(own, j % 8 * 8) + accumulator_column(lane, 0);
      store_pair(at, c[j][2 * half] * factor[half], c[j][2 * half + 1] * factor[half]);
    }
  }
  fence_proxy_async();
  __syncwarp();
  if (lane == 0) {
#pragma unroll
    for (int c0 = 0; c0 < kD / kChunk; ++c0)
      tma_store_4d(map, tile + (c0 * kGroupRows + warp_row) * kChunk, c0 * kChunk, head, row, sequence);
    bulk_commit_group();
  }
}
inline constexpr int kStoredRows = 16;  // rows of a box of store_head

// Calls body(integral_constant<kD>, bool_constant<kCausal>): the padded width of heads, and whether queries attend to
// the keys up to their own position or to all of their sequence.
template <class Body>
void for_head(const AttentionLayout& layout, Body body) {
  const auto for_width = [&](auto causal) {
    if (layout.d_head <= 64) return body(std::integral_constant<int, 64>{}, causal);
    body(std::integral_constant<int, 128>{}, causal);
  };
  if (layout.causal) return for_width(std::true_type{});
  for_width(std::false_type{});
}

}  // namespace moe::cuda::sm90
