// Shared by forward and backward of the portable attention kernels, which run on every device and type.
// attention_sm90.h declares Hopper's kernels, which have no dropout.
#pragma once
#include <cmath>
#include <numbers>
#include <type_traits>

#include "core/ops/attention.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/mma_tile.cuh"
#include "cuda/kernel/tile.cuh"

namespace moe::cuda {

// Tiles of 64 queries by 64 keys; each of four warps owns 16 rows. A head is padded with zeros to kD columns.
inline constexpr int kRows = 64;
inline constexpr int kThreads = 128;
inline constexpr int kWarps = kThreads / kWarp;
inline constexpr int kBlocks = kRows / 8;  // 8-column blocks of a tile of scores
inline constexpr float kLog2e = std::numbers::log2e_v<float>;

struct AttentionProblem {
  AttentionLayout layout;
  int width;     // width of a row of qkv
  float scale;   // 1 / sqrt(d_head)
  bool vectors;  // rows of heads may be loaded in 16-byte pieces
  AttentionMask mask;

  __device__ int64_t key_head(int64_t head) const { return head / (layout.heads / layout.kv_heads); }
};

// The elements of a thread's part of a tile of attention weights that dropout keeps, drawn before the weights are
// computed: bit 4 b + e is set for element e of block b. Drawing them one after the other takes few registers; kernels
// without dropout contain none of this code. Rows are queries, columns keys: two neighbours come from one draw.
__device__ inline uint32_t kept_of_queries(const AttentionProblem& p, int64_t batch, int64_t head, int64_t query,
                                           int64_t key) {
  uint32_t bits = 0;
#pragma unroll 1
  for (int i = 0; i < 2 * kBlocks; ++i) {
    const int64_t column = key + 8 * (i / 2) + accumulator_column(lane_index(), 0);
    const auto words =
        p.mask.words(batch, head, query + accumulator_row(lane_index(), 2 * (i % 2)), p.mask.quad_of(column));
    const bool upper = p.mask.lane_of(column) != 0;
    bits |= static_cast<uint32_t>((upper ? words[2] : words[0]) >= p.mask.threshold) << (2 * i);
    bits |= static_cast<uint32_t>((upper ? words[3] : words[1]) >= p.mask.threshold) << (2 * i + 1);
  }
  return bits;
}

// The same where rows are keys and columns queries.
__device__ inline uint32_t kept_of_keys(const AttentionProblem& p, int64_t batch, int64_t head, int64_t query,
                                        int64_t key) {
  uint32_t bits = 0;
#pragma unroll 1
  for (int i = 0; i < 4 * kBlocks; ++i) {
    const int row = accumulator_row(lane_index(), i % 4),
              column = 8 * (i / 4) + accumulator_column(lane_index(), i % 4);
    bits |= static_cast<uint32_t>(p.mask.factor(batch, head, query + column, key + row) > 0) << i;
  }
  return bits;
}

__device__ inline bool is_kept(uint32_t bits, int block, int element) {
  return (bits >> (4 * block + element) & 1) != 0;
}

template <class T, int kD>
struct HeadTile {
  static constexpr int kStride = tile_stride<T>(kD);
  using Tile = T[kRows * kStride];
};

template <int kD, class T>
__device__ inline void load_rows(T* tile, const T* source, int ld, int rows, const AttentionProblem& p) {
  load_tile<kRows, kD, tile_stride<T>(kD), kThreads>(tile, source, ld, rows, static_cast<int>(p.layout.d_head),
                                                     p.vectors);
}

// Stores a warp's 16 rows of an accumulator times `factor` to global memory in whole lines, through the warp's own 16
// rows of a tile.
template <int kD, class T>
__device__ inline void store_rows(T* target, T* own_rows, const float (&c)[kD / 8][4], const float (&factor)[2],
                                  int64_t ld, int rows, const AttentionProblem& p) {
  constexpr int kStride = tile_stride<T>(kD);
  const int lane = lane_index();
  __syncwarp();
#pragma unroll
  for (int j = 0; j < kD / 8; ++j) {
    T* at = own_rows + accumulator_row(lane, 0) * kStride + 8 * j + accumulator_column(lane, 0);
    store_pair(at, c[j][0] * factor[0], c[j][1] * factor[0]);
    store_pair(at + 8 * kStride, c[j][2] * factor[1], c[j][3] * factor[1]);
  }
  __syncwarp();
  store_tile<16, kD, kStride, kWarp, false>(target, own_rows, ld, rows, static_cast<int>(p.layout.d_head), p.vectors,
                                            lane);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Calls body(T{}, integral_constant<kD>, bool_constant<kCausal>, bool_constant<kDrops>), where kD is the padded width
// of heads.
template <class Body>
void for_head(DType dtype, const AttentionLayout& layout, bool drops, Body body) {
  if (layout.d_head > 128)
    raise<DeviceError>("attention heads have {} dimensions; on CUDA at most 128 are supported", layout.d_head);
  const auto with = [](bool condition, auto next) { condition ? next(std::true_type{}) : next(std::false_type{}); };
  for_type(dtype, [&]<class T>(T type) {
    with(layout.causal, [&](auto causal) {
      with(drops, [&](auto dropping) {
        if (layout.d_head <= 64)
          body(type, std::integral_constant<int, 64>{}, causal, dropping);
        else
          body(type, std::integral_constant<int, 128>{}, causal, dropping);
      });
    });
  });
}

template <class T, class... Pointers>
AttentionProblem make_problem(const AttentionLayout& layout, const AttentionDropout& dropout,
                              const Pointers*... pointers) {
  return {.layout = layout,
          .width = static_cast<int>(layout.width()),
          .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head))),
          .vectors = in_vectors<T>(layout.d_head, pointers...),
          .mask = AttentionMask::of(dropout, layout)};
}

// A grid with one block per head of every sequence and tile of queries or keys.
inline dim3 grid_of(int64_t heads, const AttentionLayout& layout) {
  dim3 grid = blocks_for(heads, 1);
  grid.y = static_cast<unsigned>((layout.time + kRows - 1) / kRows);
  return grid;
}

}  // namespace moe::cuda
