#include <type_traits>

#include "core/ops/grouped_gemm.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/tile.cuh"
#include "cuda/ops/grouped_gemm.cuh"
#include "cuda/ops/grouped_gemm_sm90.h"

namespace moe::cuda {

// The kernels for every device and type; Hopper's are in grouped_gemm_sm90.cu.

// ---- the product ---------------------------------------------------------------------------------------------------

template <class T, Kind kKind, Fused kFused = Fused::none>
struct Layout : GemmTile<T, kKind, kFused, 128, 128> {
  using Base = GemmTile<T, kKind, kFused, 128, 128>;
  using Base::kA, Base::kB, Base::kM, Base::kN;
  using typename Base::Result;
  static constexpr int kK = sizeof(T) == 2 ? 32 : 16, kStages = sizeof(T) == 2 ? 4 : 3;
  static constexpr int kResident = sizeof(T) == 2 ? 2 : 1;      // blocks per multiprocessor
  static constexpr int kThreads = 256, kWarpsN = 4;             // 2 x 4 warps
  static constexpr int kWarpM = kM / 2, kWarpN = kN / kWarpsN;  // of C, per warp
  static constexpr int kStrideA = tile_stride<T>(kA == Operand::rows ? kK : kM);
  static constexpr int kStrideB = tile_stride<T>(kB == Operand::rows ? kK : kN);
  static constexpr int kTileA = (kA == Operand::rows ? kM : kK) * kStrideA;
  static constexpr int kTileB = (kB == Operand::rows ? kN : kK) * kStrideB;
  static constexpr int kStrideC = tile_stride<Result>(kN);
  union Shared {
    struct {
      T a[kStages][kTileA];
      T b[kStages][kTileB];
    } stage;
    Result c[kM * kStrideC];
  };
};

template <class T, class Result>
struct PlainProduct : Product<T, Result, const T*> {
  bool vectors = false;  // whether rows can be read and written in vectors
};

// activated = activation(z) for a tile of z in shared memory. With a gate, the tile's other half starts kOut columns
// further.
template <class L, Activation kActivation, class T>
static __device__ void store_activated(T* target, const T* tile, int ld, int rows, int columns, bool vectors) {
  const auto store_some = [&]<int kPer>(std::integral_constant<int, kPer>) {
    constexpr int kPieces = L::kOut / kPer;
    for (int i = static_cast<int>(threadIdx.x); i < L::kM * kPieces; i += L::kThreads) {
      const int row = i / kPieces, column = i % kPieces * kPer;
      if (row >= rows || column >= columns) continue;
      const T* from = tile + row * L::kStrideC + column;
      Floats<kPer> value = load_vector<kPer>(from), up{};
      if constexpr (L::kGated) up = load_vector<kPer>(from + L::kOut);
#pragma unroll
      for (int j = 0; j < kPer; ++j) value.v[j] = activate<kActivation, T>(value.v[j], up.v[j]);
      store_vector(target + row * ld + column, value);
    }
  };
  if (vectors)
    store_some(std::integral_constant<int, kPerVector<T>>{});
  else
    store_some(std::integral_constant<int, 1>{});
}

// Blocks loop over the tiles of C, 128 x 128 each, neighbours in n first, because they share A. Each of eight warps
// owns 64 x 32 of a tile. Shared memory holds kStages slices of A and B along k, which cp.async fills ahead of the
// products. Afterwards it holds C, so that whole lines are written. Each element of C has one owner, which adds along k
// in order. With a gate a tile has 64 columns of each half of C, so that the activation has both operands.
template <class T, Kind kKind, Fused kFused = Fused::none>
__global__ void __launch_bounds__(Layout<T, kKind>::kThreads, Layout<T, kKind>::kResident)
    grouped_gemm_kernel(PlainProduct<T, typename Layout<T, kKind>::Result> p) {
  using L = Layout<T, kKind, kFused>;
  auto& shared = shared_memory<typename L::Shared>();
  const int warp_m = warp_index() / L::kWarpsN * L::kWarpM, warp_n = warp_index() % L::kWarpsN * L::kWarpN;
  const int width = L::kGated ? p.n / 2 : p.n;
  // per_expert is used for Kind::weight.
  const int tiles_n = (width + L::kOut - 1) / L::kOut, per_expert = (p.m + L::kM - 1) / L::kM;
  const int tiles = (kKind == Kind::weight ? p.experts * per_expert : *p.num_tiles) * tiles_n;

  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
    const int tile_m = tile / tiles_n, column = tile % tiles_n * L::kOut;
    const T *a, *b;
    typename L::Result* c;
    int rows, depth;
    const int columns = min(L::kOut, width - column);
    if constexpr (kKind == Kind::weight) {
      const int expert = tile_m / per_expert, row = tile_m % per_expert * L::kM, first = p.offsets[expert];
      rows = min(L::kM, p.m - row);
      depth = p.offsets[expert + 1] - first;
      if (depth == 0 && p.accumulate) continue;  // nothing to add
      a = p.a + int64_t{first} * p.m + row;
      b = p.b + int64_t{first} * p.n + column;
      c = p.c + (int64_t{expert} * p.m + row) * p.n + column;
    } else {
      const RowTile own = p.tiles[tile_m];
      rows = own.end - own.begin;
      depth = p.k;
      a = p.a + int64_t{own.begin} * p.k;
      b = p.b + int64_t{own.expert} * p.n * p.k + (kKind == Kind::forward ? int64_t{column} * p.k : column);
      c = p.c + int64_t{own.begin} * p.n + column;
    }
    const auto load = [&](int stage, int k) {
      const int left = depth - k;
      if constexpr (L::kA == Operand::rows) {
        load_tile<L::kM, L::kK, L::kStrideA, L::kThreads>(shared.stage.a[stage], a + k, p.k, rows, left, p.vectors);
      } else {
        load_tile<L::kK, L::kM, L::kStrideA, L::kThreads>(shared.stage.a[stage], a + int64_t{k} * p.m, p.m, left, rows,
                                                          p.vectors);
      }
      if constexpr (L::kB == Operand::rows) {
        load_tile<L::kOut, L::kK, L::kStrideB, L::kThreads>(shared.stage.b[stage], b + k, p.k, columns, left,
                                                            p.vectors);
        if constexpr (L::kGated)
          load_tile<L::kOut, L::kK, L::kStrideB, L::kThreads>(shared.stage.b[stage] + L::kOut * L::kStrideB,
                                                              b + int64_t{width} * p.k + k, p.k, columns, left,
                                                              p.vectors);
      } else {
        load_tile<L::kK, L::kN, L::kStrideB, L::kThreads>(shared.stage.b[stage], b + int64_t{k} * p.n, p.n, left,
                                                          columns, p.vectors);
      }
    };

    float sums[L::kWarpM / 16][L::kWarpN / 8][4] = {};
    const int slices = (depth + L::kK - 1) / L::kK;
#pragma unroll
    for (int s = 0; s < L::kStages - 1; ++s) {
      if (s < slices) load(s, s * L::kK);
      cp_async_commit_group();
    }
    for (int s = 0; s < slices; ++s) {
      cp_async_wait_group<L::kStages - 2>();
      __syncthreads();  // slice s is loaded for all threads, and slice s - 1 has been used
      const int next = s + L::kStages - 1;
      if (next < slices) load(next % L::kStages, next * L::kK);
      cp_async_commit_group();
      const T* tile_a = shared.stage.a[s % L::kStages] + (L::kA == Operand::rows ? warp_m * L::kStrideA : warp_m);
      const T* tile_b = shared.stage.b[s % L::kStages] + (L::kB == Operand::rows ? warp_n * L::kStrideB : warp_n);
      warp_multiply<L::kA, L::kB, L::kK, L::kStrideA, L::kStrideB>(sums, tile_a, tile_b);
    }
    cp_async_wait_group<0>();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < L::kWarpM / 16; ++i) {
#pragma unroll
      for (int j = 0; j < L::kWarpN / 8; ++j) {
        const int lane = lane_index(), at = warp_n + 8 * j + accumulator_column(lane, 0);
        store_pair(shared.c + (warp_m + 16 * i + accumulator_row(lane, 0)) * L::kStrideC + at, sums[i][j][0],
                   sums[i][j][1]);
        store_pair(shared.c + (warp_m + 16 * i + accumulator_row(lane, 2)) * L::kStrideC + at, sums[i][j][2],
                   sums[i][j][3]);
      }
    }
    __syncthreads();
    const auto thread = static_cast<int>(threadIdx.x);
    if (kKind == Kind::weight && p.accumulate) {
      store_tile<L::kM, L::kN, L::kStrideC, L::kThreads, true>(c, shared.c, p.n, rows, columns, p.vectors, thread);
    } else {
      store_tile<L::kM, L::kOut, L::kStrideC, L::kThreads, false>(c, shared.c, p.n, rows, columns, p.vectors, thread);
      if constexpr (L::kGated)
        store_tile<L::kM, L::kOut, L::kStrideC, L::kThreads, false>(c + width, shared.c + L::kOut, p.n, rows, columns,
                                                                    p.vectors, thread);
    }
    if constexpr (kFused != Fused::none)
      store_activated<L, kActivationOf<kFused>>(p.activated + int64_t{p.tiles[tile_m].begin} * width + column, shared.c,
                                                width, rows, columns, p.vectors);
    __syncthreads();  // all threads are done before the next tile's slices are loaded
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

template <class T, Kind kKind, Fused kFused = Fused::none>
static void run_rows(Context& ctx, Tensor c, ConstTensor a, ConstTensor weight, const RowTiles& tiles,
                     Tensor activated = {}) {
  using L = Layout<T, kKind, kFused>;
  const int64_t n = c.dim(1), k = a.dim(1), width = n / (L::kGated ? 2 : 1);
  PlainProduct<T, T> product{};
  product.a = a.as<T>();
  product.b = weight.as<T>();
  product.set_rows(c, k, weight.dim(0), tiles, activated);
  product.vectors = in_vectors<T>(width, product.a, product.b, product.c, product.activated) && in_vectors<T>(k);
  launch(ctx, grouped_gemm_kernel<T, kKind, kFused>,
         persistent_grid(ctx, tiles.most() * ((width + L::kOut - 1) / L::kOut), L::kResident), L::kThreads,
         sizeof(typename L::Shared), product);
}

// Rows in a tile of every variant.
static constexpr int kTileRows = Layout<float, Kind::forward>::kM;
static_assert(kTileRows == Layout<BFloat16, Kind::forward>::kM && kTileRows == sm90::kTileRows);

void grouped_gemm_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, ConstTensor offsets) {
  const RowTiles tiles(ctx, offsets, x.dim(0), weight.dim(0), kTileRows);
  if (sm90::takes_grouped_gemm(ctx, x.dtype, {y.dim(1), x.dim(1)}, {y.data, x.data, weight.data}))
    return sm90::grouped_gemm_forward(ctx, y, x, weight, tiles);
  for_type(x.dtype, [&]<class T>(T) { run_rows<T, Kind::forward>(ctx, y, x, weight, tiles); });
}

void grouped_gemm_activate_forward(Context& ctx, Tensor y, Tensor z, ConstTensor x, ConstTensor weight,
                                   ConstTensor offsets, Activation activation) {
  const RowTiles tiles(ctx, offsets, x.dim(0), weight.dim(0), kTileRows);
  if (sm90::takes_grouped_gemm(ctx, x.dtype, {y.dim(1), x.dim(1)}, {y.data, z.data, x.data, weight.data}))
    return sm90::grouped_gemm_activate_forward(ctx, y, z, x, weight, tiles, activation);
  for_type(x.dtype, [&]<class T>(T) {
    for_fused(activation, [&]<Fused kFused>(std::integral_constant<Fused, kFused>) {
      run_rows<T, Kind::forward, kFused>(ctx, z, x, weight, tiles, y);
    });
  });
}

void grouped_gemm_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, ConstTensor offsets) {
  const RowTiles tiles(ctx, offsets, d_y.dim(0), weight.dim(0), kTileRows);
  if (sm90::takes_grouped_gemm(ctx, d_y.dtype, {d_x.dim(1), d_y.dim(1)}, {d_x.data, d_y.data, weight.data}))
    return sm90::grouped_gemm_backward_input(ctx, d_x, d_y, weight, tiles);
  for_type(d_y.dtype, [&]<class T>(T) { run_rows<T, Kind::input>(ctx, d_x, d_y, weight, tiles); });
}

void grouped_gemm_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                                  bool accumulate) {
  const int64_t experts = d_weight.dim(0), m = d_y.dim(1), n = x.dim(1);
  // Tensor maps need at least one row; with none, the portable kernel clears the gradients.
  if (d_y.dim(0) > 0 && sm90::takes_grouped_gemm(ctx, d_y.dtype, {m, n}, {d_weight.data, d_y.data, x.data}))
    return sm90::grouped_gemm_backward_weight(ctx, d_weight, d_y, x, offsets, accumulate);
  for_type(d_y.dtype, [&]<class T>(T) {
    using L = Layout<T, Kind::weight>;
    PlainProduct<T, float> product{};
    product.a = d_y.as<T>();
    product.b = x.as<T>();
    product.set_weight(d_weight, offsets, accumulate);
    product.vectors = in_vectors<T>(n, product.a, product.b, product.c) && in_vectors<T>(m);
    const int64_t tiles = experts * ((m + L::kM - 1) / L::kM) * ((n + L::kN - 1) / L::kN);
    launch(ctx, grouped_gemm_kernel<T, Kind::weight>, persistent_grid(ctx, tiles, L::kResident), L::kThreads,
           sizeof(typename L::Shared), product);
  });
}

}  // namespace moe::cuda
