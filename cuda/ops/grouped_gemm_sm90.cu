#include "cuda/ops/grouped_gemm_sm90.h"

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "cuda/device/launch.cuh"
#include "cuda/device/tensor_map.h"
#include "cuda/kernel/tile.cuh"
#include "cuda/kernel/wgmma_tile.cuh"
#include "cuda/ops/grouped_gemm.cuh"

namespace moe::cuda::sm90 {

// Three warpgroups: one copies, two multiply 64 rows each. The first gives up registers for the others.
static constexpr int kThreads = 3 * kWarpgroup;
static constexpr int kCopyRegisters = 40, kMultiplyRegisters = 232;
static constexpr int kMultiplyWarps = 8;

template <Kind kKind, int kColumns, Fused kFused>
struct Layout : GemmTile<BFloat16, kKind, kFused, kTileRows, kColumns> {
  using Base = GemmTile<BFloat16, kKind, kFused, kTileRows, kColumns>;
  using Base::kA, Base::kB, Base::kM, Base::kN;
  using typename Base::Result;
  static constexpr int kK = kChunk, kStages = kN == 256 ? 4 : 6;
  static constexpr int kRowsA = kA == Operand::rows ? kM : kK, kRowsB = kB == Operand::rows ? kN : kK;
  static constexpr int kStaged = 128 / sizeof(Result);  // columns that are stored at once: 128 bytes
  static constexpr int kStride = tile_stride<Result>(kStaged);
  static constexpr uint32_t kStageBytes = 2 * (kM + kN) * kK;
  struct Shared {
    alignas(1024) BFloat16 a[kStages][kM * kK];
    BFloat16 b[kStages][kN * kK];
    Result staging[kMultiplyWarps][16 * kStride];
    Ring<kStages> ring;
  };
};

template <class Result>
using MappedProduct = Product<BFloat16, Result, TensorMap>;

// One tile of C: `rows` rows from `row` on, kOut columns from `column` on. Rows are tokens or, for weight, an expert's
// outputs; then the depth is the tokens from `token` on.
struct Tile {
  int expert, row, rows, column, token, depth;
};

template <class L>
static __device__ int num_tiles(const MappedProduct<typename L::Result>& p, int tiles_n) {
  return (L::kind == Kind::weight ? p.experts * ((p.m + L::kM - 1) / L::kM) : *p.num_tiles) * tiles_n;
}

// Neighbours in n come first, because they share A.
template <class L>
static __device__ Tile tile_at(const MappedProduct<typename L::Result>& p, int index, int tiles, int tiles_n) {
  if (index >= tiles) return {};
  const int tile_m = index / tiles_n, column = index % tiles_n * L::kOut;
  if constexpr (L::kind == Kind::weight) {
    const int per_expert = (p.m + L::kM - 1) / L::kM, expert = tile_m / per_expert, row = tile_m % per_expert * L::kM;
    const int token = p.offsets[expert];
    return {.expert = expert,
            .row = row,
            .rows = min(L::kM, p.m - row),
            .column = column,
            .token = token,
            .depth = p.offsets[expert + 1] - token};
  } else {
    const RowTile own = p.tiles[tile_m];
    return {.expert = own.expert,
            .row = own.begin,
            .rows = own.end - own.begin,
            .column = column,
            .token = 0,
            .depth = p.k};
  }
}

// Copies slice k of a tile. Rows past an expert's last one are copied too: those of A are never stored, those of the
// depth are cleared by clear_tail. Elements outside the tensors are read as zero.
template <class L>
static __device__ void copy_slice(const MappedProduct<typename L::Result>& p, BFloat16* a, BFloat16* b, uint64_t& full,
                                  const Tile& tile, int k) {
  if constexpr (L::kind == Kind::weight) {
#pragma unroll
    for (int c = 0; c < L::kM / kChunk; ++c)
      tma_load_2d(a + c * kChunk * L::kK, p.a, full, tile.row + c * kChunk, tile.token + k);
#pragma unroll
    for (int c = 0; c < L::kN / kChunk; ++c)
      tma_load_2d(b + c * kChunk * L::kK, p.b, full, tile.column + c * kChunk, tile.token + k);
  } else {
    tma_load_2d(a, p.a, full, k, tile.row);
    if constexpr (L::kind == Kind::input) {
#pragma unroll
      for (int c = 0; c < L::kN / kChunk; ++c)
        tma_load_3d(b + c * kChunk * L::kK, p.b, full, tile.column + c * kChunk, k, tile.expert);
    } else {
      tma_load_3d(b, p.b, full, k, tile.column, tile.expert);
      if constexpr (L::kGated)  // the other half of the columns
        tma_load_3d(b + L::kOut * L::kK, p.b, full, k, p.n / 2 + tile.column, tile.expert);
    }
  }
}

static __device__ void clear_rows(BFloat16* chunk, int first, int thread) {
  for (int i = first * 8 + thread; i < kChunk * 8; i += kWarpgroup)
    *reinterpret_cast<uint4*>(chunk + 8 * i) = uint4{0, 0, 0, 0};
}

// In a slice along tokens (weight), the tokens from `first` on belong to the next expert, or to none and may hold any
// values. They are cleared in both operands. Each warpgroup clears its half of each operand; both use B.
template <class L>
static __device__ void clear_tail(BFloat16* a, BFloat16* b, int first, int group) {
  if (L::kind != Kind::weight || first >= L::kK) return;
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  clear_rows(a + group * kChunk * L::kK, first, thread);
#pragma unroll
  for (int c = 0; c < L::kN / kChunk / 2; ++c) clear_rows(b + (2 * c + group) * kChunk * L::kK, first, thread);
  fence_proxy_async();
  barrier_sync(1, 2 * kWarpgroup);
}

// Stores this warp's 16 rows of kStaged columns to global memory, in whole lines. pair(block, half) is this lane's pair
// of neighbours in a 16 x 8 block among them: with half 1, that 8 rows further down.
template <class L, bool kAdd, class Result, class Pair>
static __device__ void store_columns(Result* target, Result* staging, int ld, int rows, int columns, Pair pair) {
  const int lane = lane_index();
  __syncwarp();
#pragma unroll
  for (int j = 0; j < L::kStaged / 8; ++j) {
    Result* at = staging + accumulator_row(lane, 0) * L::kStride + 8 * j + accumulator_column(lane, 0);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 both = pair(j, half);
      store_pair(at + 8 * half * L::kStride, both.x, both.y);
    }
  }
  __syncwarp();
  store_tile<16, L::kStaged, L::kStride, kWarp, kAdd>(target, staging, ld, rows, columns, true, lane);
}

// The values as they will be read after they are stored in bf16.
static __device__ float2 rounded(float low, float high) {
  const uint32_t pair = cvt_rn_bf16x2(low, high);
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000u));
}

// Stores this warp's 16 rows of a tile, from `row` of the tile on.
template <class L, bool kAdd>
static __device__ void store_result(const MappedProduct<typename L::Result>& p, const Tile& tile, int row,
                                    typename L::Result* staging, const float (&sums)[L::kN / 8][4]) {
  constexpr int kBlocks = L::kStaged / 8;
  const int rows = tile.rows - row, halves = L::kGated ? 2 : 1, width = p.n / halves;
  const int64_t first_row = L::kind == Kind::weight ? int64_t{tile.expert} * p.m + tile.row + row : tile.row + row;
  typename L::Result* c = p.c + first_row * p.n + tile.column;
#pragma unroll
  for (int part = 0; part < L::kN / L::kStaged; ++part) {
    constexpr int kParts = L::kOut / L::kStaged;  // of each half
    const int column = part % kParts * L::kStaged;
    store_columns<L, kAdd>(c + part / kParts * width + column, staging, p.n, rows, width - tile.column - column,
                           [&](int j, int half) {
                             const float(&block)[4] = sums[part * kBlocks + j];
                             return make_float2(block[2 * half], block[2 * half + 1]);
                           });
  }
  if constexpr (L::fused != Fused::none) {
    BFloat16* activated = p.activated + first_row * width + tile.column;
#pragma unroll
    for (int part = 0; part < L::kOut / L::kStaged; ++part) {
      const int column = part * L::kStaged;
      store_columns<L, false>(
          activated + column, staging, width, rows, width - tile.column - column, [&](int j, int half) {
            constexpr Activation kActivation = kActivationOf<L::fused>;
            const auto pair = [&](const float(&block)[4]) { return rounded(block[2 * half], block[2 * half + 1]); };
            const float2 z = pair(sums[part * kBlocks + j]);
            float2 up{};
            if constexpr (L::kGated) up = pair(sums[L::kOut / 8 + part * kBlocks + j]);
            return make_float2(activate<kActivation, BFloat16>(z.x, up.x), activate<kActivation, BFloat16>(z.y, up.y));
          });
    }
  }
}

// One block per multiprocessor; blocks loop over the tiles of C, 128 x kN. One thread of the first warpgroup copies
// slices of 64 along the depth into a ring of stages, tile after tile. The two other warpgroups multiply, 64 rows each,
// and store their results through their own shared memory while the next tile's slices are loaded. Each element of C
// has one owner, which adds along the depth in order.
template <class L>
__global__ void __launch_bounds__(kThreads, 1)
    grouped_gemm_sm90_kernel(const __grid_constant__ MappedProduct<typename L::Result> p) {
  auto& shared = shared_memory<typename L::Shared>();
  const int tiles_n = ((L::kGated ? p.n / 2 : p.n) + L::kOut - 1) / L::kOut, tiles = num_tiles<L>(p, tiles_n);
  const int first = static_cast<int>(blockIdx.x), step = static_cast<int>(gridDim.x);
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup - 1, lane = lane_index();
  if (threadIdx.x == 0) {
    prefetch_tensormap(p.a);
    prefetch_tensormap(p.b);
    shared.ring.initialise(kMultiplyWarps);
    fence_mbarrier_init();
  }
  __syncthreads();
  RingPlace<L::kStages> place;

  if (group < 0) {
    setmaxnreg_dec<kCopyRegisters>();
    if (threadIdx.x == 0) {
      Tile next = tile_at<L>(p, first, tiles, tiles_n);
      for (int i = first; i < tiles; i += step) {
        const Tile tile = next;
        next = tile_at<L>(p, i + step, tiles, tiles_n);
        for (int k = 0; k < tile.depth; k += L::kK, place.advance()) {
          uint64_t& full = shared.ring.fill(place, L::kStageBytes);
          copy_slice<L>(p, shared.a[place.stage], shared.b[place.stage], full, tile, k);
        }
      }
    }
  } else {
    setmaxnreg_inc<kMultiplyRegisters>();
    const int warp = warp_index() % 4, row = 64 * group + 16 * warp;
    typename L::Result* staging = shared.staging[4 * group + warp];
    Tile next = tile_at<L>(p, first, tiles, tiles_n);
    for (int i = first; i < tiles; i += step) {
      const Tile tile = next;
      next = tile_at<L>(p, i + step, tiles, tiles_n);  // loaded from memory while the current tile is multiplied
      if (tile.rows <= 64 * group) {                   // no row is this warpgroup's, so the other one has the tensor
                                                       // cores
        for (int k = 0; k < tile.depth; k += L::kK, place.advance()) {
          shared.ring.wait(place);
          clear_tail<L>(shared.a[place.stage], shared.b[place.stage], tile.depth - k, group);
          __syncwarp();  // no lane waits for this phase any more
          if (lane == 0) shared.ring.release(place);
        }
        continue;
      }
      float sums[L::kN / 8][4] = {};
      RingPlace<L::kStages> before;
      for (int k = 0; k < tile.depth; k += L::kK) {
        shared.ring.wait(place);
        BFloat16 *a = shared.a[place.stage], *b = shared.b[place.stage];
        clear_tail<L>(a, b, tile.depth - k, group);
        keep_registers(sums);
        wgmma_fence();
        // The group's rows of A are 64 rows of 128 bytes further, or one chunk of 64 rows along the depth.
        warpgroup_multiply<L::kA, L::kB, L::kK, L::kRowsA, L::kRowsB>(sums, a + group * 64 * kChunk, b, true);
        wgmma_commit_group();
        wgmma_wait_group<1>();  // the products of the previous slice
        if (k > 0 && lane == 0) shared.ring.release(before);
        before = place;
        place.advance();
      }
      wgmma_wait_group<0>();
      keep_registers(sums);
      if (tile.depth > 0 && lane == 0) shared.ring.release(before);
      if (L::kind == Kind::weight && p.accumulate) {
        if (tile.depth > 0) store_result<L, true>(p, tile, row, staging, sums);
      } else {
        store_result<L, false>(p, tile, row, staging, sums);
      }
    }
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

bool takes_grouped_gemm(const Context& ctx, DType dtype, std::initializer_list<int64_t> widths,
                        std::initializer_list<const void*> pointers) {
  if (!ctx.queue || !ctx.queue->hopper() || dtype != DType::bf16) return false;
  return std::all_of(widths.begin(), widths.end(), [](int64_t width) { return width > 0 && width % 8 == 0; }) &&
         at_copy_boundary(pointers);
}

// Calls body with the width of tiles for `columns` columns: 256, which uses the tensor cores best, unless tiles of 128
// waste less. A narrow tile is assumed to cost 5/9 of a wide one; this is not measured.
template <class Body>
static void for_columns(int64_t columns, Body body) {
  const auto tiles = [&](int64_t width) { return (columns + width - 1) / width; };
  if (9 * tiles(256) <= 5 * tiles(128)) return body(std::integral_constant<int, 256>{});
  body(std::integral_constant<int, 128>{});
}

template <class L>
static void run(Context& ctx, const MappedProduct<typename L::Result>& product, int64_t tiles) {
  launch(ctx, grouped_gemm_sm90_kernel<L>, persistent_grid(ctx, tiles, 1), kThreads, sizeof(typename L::Shared),
         product);
}

// Describes (rows, width) in boxes of `box` rows.
static TensorMap map_of(ConstTensor x, int box) {
  return make_tensor_map(x.data, {{x.dim(1), 1, kChunk}, {x.dim(0), x.dim(1), box}});
}
// Describes (experts, out, in) in boxes of `box` rows of one expert.
static TensorMap map_of_weight(ConstTensor w, int box) {
  const int64_t out = w.dim(1), in = w.dim(2);
  return make_tensor_map(w.data, {{in, 1, kChunk}, {out, in, box}, {w.dim(0), out * in, 1}});
}

template <Kind kKind, Fused kFused>
static void run_rows(Context& ctx, Tensor c, Tensor activated, ConstTensor a, ConstTensor weight,
                     const RowTiles& tiles) {
  if (ctx.planning || a.dim(0) == 0 || weight.dim(0) == 0) return;
  const int64_t n = c.dim(1);
  for_columns(n, [&]<int kN>(std::integral_constant<int, kN>) {
    using L = Layout<kKind, kN, kFused>;
    MappedProduct<BFloat16> product{};
    product.a = map_of(a, L::kM);
    product.b = map_of_weight(weight, kKind == Kind::forward ? L::kOut : L::kK);
    product.set_rows(c, a.dim(1), weight.dim(0), tiles, activated);
    run<L>(ctx, product, tiles.most() * ((n / (L::kGated ? 2 : 1) + L::kOut - 1) / L::kOut));
  });
}

void grouped_gemm_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, const RowTiles& tiles) {
  run_rows<Kind::forward, Fused::none>(ctx, y, {}, x, weight, tiles);
}

void grouped_gemm_activate_forward(Context& ctx, Tensor y, Tensor z, ConstTensor x, ConstTensor weight,
                                   const RowTiles& tiles, Activation activation) {
  for_fused(activation, [&]<Fused kFused>(std::integral_constant<Fused, kFused>) {
    run_rows<Kind::forward, kFused>(ctx, z, y, x, weight, tiles);
  });
}

void grouped_gemm_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, const RowTiles& tiles) {
  run_rows<Kind::input, Fused::none>(ctx, d_x, {}, d_y, weight, tiles);
}

void grouped_gemm_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                                  bool accumulate) {
  if (ctx.planning || d_weight.size() == 0) return;
  const int64_t experts = d_weight.dim(0), m = d_y.dim(1), n = x.dim(1);
  for_columns(n, [&]<int kN>(std::integral_constant<int, kN>) {
    using L = Layout<Kind::weight, kN, Fused::none>;
    MappedProduct<float> product{};
    product.a = map_of(d_y, L::kK);
    product.b = map_of(x, L::kK);
    product.set_weight(d_weight, offsets, accumulate);
    run<L>(ctx, product, experts * ((m + L::kM - 1) / L::kM) * ((n + kN - 1) / kN));
  });
}

}  // namespace moe::cuda::sm90
