#include <cmath>
#include <type_traits>

#include "cuda/device/launch.cuh"
#include "cuda/ops/attention_sm90.cuh"

namespace moe::cuda::sm90 {

// The gradients are computed in two passes of one form. A block keeps 128 rows of two matrices and loops over pairs of
// tiles of two other matrices. S is the product of the first matrices of each pair, dP that of the second ones.
//   keys:    keeps K and V, loops over Q and dO; owns dK and dV
//   queries: keeps Q and dO, loops over K and V; owns dQ
// S is computed twice, and every gradient element has one owner, which adds in order: no atomics.
enum class Side { keys, queries };

static constexpr int kRows = 64;  // rows of a streamed tile

struct Backward {
  TensorMap qkv, d_out, d_qkv;
  const float* logsumexp;  // (sequences, heads, padded): LSE in powers of two; infinity past the end
  const float* dots;       // the same shape: delta; 0 past the end
  int time, padded, heads, kv_heads;
  float scale;

  __device__ int group() const { return heads / kv_heads; }
};

template <Side kSide, int kD>
struct BackwardShared {
  static constexpr int kStages = kD == 64 ? 4 : 2;
  alignas(1024) BFloat16 own[2][2][kGroupRows * kD];  // of the first and second matrix that stay, by warpgroup
  BFloat16 pair[kStages][2][kRows * kD];
  alignas(16) float logsumexp[kStages][kRows], dots[kStages][kRows];  // for Side::keys: of the queries
  uint64_t own_full;
  Ring<kStages> ring;
};

// rows (2, sequences, heads, padded): LSE in powers of two, and delta = <O, dO>, which the gradient of softmax
// subtracts. One warp per head of a token.
static __global__ void attention_backward_rows_sm90_kernel(float* rows, const BFloat16* out, const BFloat16* d_out,
                                                           const float* logsumexp, int64_t sequences, int64_t time,
                                                           int64_t padded, int64_t heads, int64_t d_head) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp, all = sequences * padded * heads;
  if (i >= all) return;
  const int64_t head = i % heads, t = i / heads % padded, sequence = i / heads / padded;
  const int64_t at = (sequence * time + t) * heads + head;
  float dot = 0;
  if (t < time) {
    for (int64_t c = lane_index(); c < d_head; c += kWarp)
      dot += load(out + at * d_head + c) * load(d_out + at * d_head + c);
  }
  dot = warp_sum(dot);
  if (lane_index() == 0) {
    const int64_t to = (sequence * heads + head) * padded + t;
    rows[to] = t < time ? logsumexp[at] * kLog2e : INFINITY;
    rows[all + to] = dot;
  }
}

// The work of a block: 128 rows from `first` on of `head` (a key/value head for Side::keys), in `steps` steps.
struct BackwardTile {
  int first, head, sequence, begin, tiles, steps;  // `tiles` tiles from tile `begin` on; for Side::keys once per query
                                                   // head
};

template <Side kSide, bool kCausal>
static __device__ BackwardTile backward_tile(const Backward& p) {
  const int heads = kSide == Side::keys ? p.kv_heads : p.heads, all = (p.time + kRows - 1) / kRows;
  BackwardTile tile{};
  tile.head = static_cast<int>(blockIdx.x) % heads;
  tile.sequence = static_cast<int>(blockIdx.x) / heads;
  if constexpr (kSide == Side::keys) {  // with a causal mask the first keys have the most queries
    tile.first = static_cast<int>(blockIdx.y) * kAttentionRows;
    tile.begin = kCausal ? tile.first / kRows : 0;
    tile.tiles = all - tile.begin;
    tile.steps = tile.tiles * p.group();
  } else {  // the last queries have the most keys
    tile.first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kAttentionRows;
    tile.begin = 0;
    tile.tiles = tile.steps = kCausal ? min(all, (tile.first + kAttentionRows) / kRows) : all;
  }
  return tile;
}

// Three warpgroups: one thread of the first copies pairs of tiles into a ring, and the two others own 64 rows each. For
// Side::keys everything is transposed, (keys, queries), so that P^T and dS^T are left operands that never leave the
// registers; for Side::queries dS is such an operand without transposition.
template <Side kSide, int kD, bool kCausal>
__global__ void __launch_bounds__(kThreads, 1) attention_backward_sm90_kernel(const __grid_constant__ Backward p) {
  using S = BackwardShared<kSide, kD>;
  constexpr bool kKeys = kSide == Side::keys;
  auto& shared = shared_memory<S>();
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup - 1, lane = lane_index();
  const BackwardTile tile = backward_tile<kSide, kCausal>(p);
  if (threadIdx.x == 0) {
    prefetch_tensormap(p.qkv);
    prefetch_tensormap(p.d_out);
    mbarrier_init(shared.own_full, 1);
    shared.ring.initialise(kMultiplyWarps);
    fence_mbarrier_init();
  }
  __syncthreads();
  RingPlace<S::kStages> place;

  if (group < 0) {
    setmaxnreg_dec<kCopyRegisters>();
    if (threadIdx.x == 0) {
      const int kv_head = kKeys ? tile.head : tile.head / p.group();
      const int key = p.heads + kv_head, value = p.heads + p.kv_heads + kv_head;
      mbarrier_arrive_expect_tx(shared.own_full, 2 * 2 * kAttentionRows * kD);
      for (int g = 0; g < 2; ++g) {
        const int row = tile.first + g * kGroupRows;
        load_head<kGroupRows, kD>(shared.own[0][g], p.qkv, shared.own_full, kKeys ? key : tile.head, row,
                                  tile.sequence);
        load_head<kGroupRows, kD>(shared.own[1][g], kKeys ? p.qkv : p.d_out, shared.own_full, kKeys ? value : tile.head,
                                  row, tile.sequence);
      }
      for (int step = 0; step < tile.steps; ++step, place.advance()) {
        const int row = (tile.begin + step % tile.tiles) * kRows;
        BFloat16 *first = shared.pair[place.stage][0], *second = shared.pair[place.stage][1];
        if constexpr (kKeys) {
          const int head = tile.head * p.group() + step / tile.tiles;
          uint64_t& full = shared.ring.fill(place, 2 * 2 * kRows * kD + 2 * kRows * sizeof(float));
          load_head<kRows, kD>(first, p.qkv, full, head, row, tile.sequence);
          load_head<kRows, kD>(second, p.d_out, full, head, row, tile.sequence);
          const int64_t at = (int64_t{tile.sequence} * p.heads + head) * p.padded + row;
          bulk_load(shared.logsumexp[place.stage], p.logsumexp + at, kRows * sizeof(float), full);
          bulk_load(shared.dots[place.stage], p.dots + at, kRows * sizeof(float), full);
        } else {
          uint64_t& full = shared.ring.fill(place, 2 * 2 * kRows * kD);
          load_head<kRows, kD>(first, p.qkv, full, key, row, tile.sequence);
          load_head<kRows, kD>(second, p.qkv, full, value, row, tile.sequence);
        }
      }
    }
  } else {
    setmaxnreg_inc<kMultiplyRegisters>();
    const int group_first = tile.first + group * kGroupRows, row = group_first + warp_index() % 4 * 16;
    const BFloat16 *own_first = shared.own[0][group], *own_second = shared.own[1][group];
    float d_first[kD / 8][4] = {}, d_second[kKeys ? kD / 8 : 1][4] = {};
    float lse[2] = {0, 0}, dot[2] = {0, 0};
    if constexpr (!kKeys) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int64_t at =
            (int64_t{tile.sequence} * p.heads + tile.head) * p.padded + row + accumulator_row(lane, 2 * h);
        lse[h] = p.logsumexp[at];
        dot[h] = p.dots[at];
      }
    }
    const float scale = p.scale * kLog2e;
    mbarrier_wait_parity(shared.own_full, 0);
    for (int step = 0; step < tile.steps; ++step) {
      const int other_first = (tile.begin + step % tile.tiles) * kRows;
      const BFloat16 *first = shared.pair[place.stage][0], *second = shared.pair[place.stage][1];
      float scores[kRows / 8][4], slopes[kRows / 8][4];
      uint32_t left[kRows / 16][4], left_slopes[kRows / 16][4];
      shared.ring.wait(place);
      wgmma_fence();
      warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kRows>(scores, own_first, first, false);
      wgmma_commit_group();
      warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kRows>(slopes, own_second, second, false);
      wgmma_commit_group();
      wgmma_wait_group<1>();
      keep_registers(scores);
      // Whether some pairs of these queries and keys are masked: the key comes after the query, or is past the end.
      // (Rows past the end of a block that keeps keys may hold any values, because they are not stored.)
      const bool partial = kCausal ? kKeys ? group_first + kGroupRows > other_first : other_first + kRows > group_first
                                   : !kKeys && other_first + kRows > p.time;
#pragma unroll
      for (int b = 0; b < kRows / 8; ++b) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int column = 8 * b + accumulator_column(lane, e);
          const int own = row + accumulator_row(lane, e), other = other_first + column;
          const float less = kKeys ? shared.logsumexp[place.stage][column] : lse[e / 2];
          const bool visible = !partial || (kCausal ? kKeys ? own <= other : other <= own : other < p.time);
          scores[b][e] = visible ? ex2_approx(scores[b][e] * scale - less) : 0.0f;
        }
      }
      if constexpr (kKeys) to_operand(left, scores);
      wgmma_wait_group<0>();
      keep_registers(slopes);
#pragma unroll
      for (int b = 0; b < kRows / 8; ++b) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int column = 8 * b + accumulator_column(lane, e);
          slopes[b][e] = scores[b][e] * (slopes[b][e] - (kKeys ? shared.dots[place.stage][column] : dot[e / 2]));
        }
      }
      to_operand(left_slopes, slopes);
      keep_registers(d_first);
      if constexpr (kKeys) keep_registers(d_second);
      wgmma_fence();
      if constexpr (kKeys) warpgroup_multiply<Operand::columns, kRows>(d_second, left, second, true);
      warpgroup_multiply<Operand::columns, kRows>(d_first, left_slopes, first, true);
      wgmma_commit_group();
      wgmma_wait_group<0>();
      keep_registers(d_first);
      if constexpr (kKeys) keep_registers(d_second);
      if constexpr (kKeys) __syncwarp();  // other lanes have read LSE and delta
      if (lane == 0) shared.ring.release(place);
      place.advance();
    }
    barrier_sync(1 + group, kWarpgroup);  // all warps of the group have read the memory that is overwritten now
    const float scales[2] = {p.scale, p.scale};
    store_head<kD>(p.d_qkv, shared.own[0][group], d_first, scales, kKeys ? p.heads + tile.head : tile.head, row,
                   tile.sequence);
    if constexpr (kKeys) {
      const float one[2] = {1, 1};
      store_head<kD>(p.d_qkv, shared.own[1][group], d_second, one, p.heads + p.kv_heads + tile.head, row,
                     tile.sequence);
    }
    if (lane == 0) bulk_wait_group_read<0>();
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, float* rows, const AttentionLayout& layout) {
  const int64_t tokens = qkv.dim(0), sequences = tokens / layout.time, padded = padded_time(layout.time);
  if (ctx.planning || tokens == 0) return;
  const int64_t all = sequences * layout.heads * padded;
  launch(ctx, attention_backward_rows_sm90_kernel, blocks_for(all, 8), 8 * kWarp, 0, rows, out.as<BFloat16>(),
         d_out.as<BFloat16>(), logsumexp.as<float>(), sequences, layout.time, padded, layout.heads, layout.d_head);
  for_head(layout, [&]<int kD, bool kCausal>(std::integral_constant<int, kD>, std::bool_constant<kCausal>) {
    Backward p{};
    const int64_t all_heads = layout.heads + 2 * layout.kv_heads;
    p.qkv = map_of_heads(qkv.data, all_heads, tokens, layout, kRows);
    p.d_out = map_of_heads(d_out.data, layout.heads, tokens, layout, kRows);
    p.d_qkv = map_of_heads(d_qkv.data, all_heads, tokens, layout, kStoredRows);
    p.logsumexp = rows;
    p.dots = rows + all;
    p.time = static_cast<int>(layout.time);
    p.padded = static_cast<int>(padded);
    p.heads = static_cast<int>(layout.heads);
    p.kv_heads = static_cast<int>(layout.kv_heads);
    p.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head)));
    const auto grid_of = [&](int64_t heads) {
      dim3 grid = blocks_for(sequences * heads, 1);
      grid.y = static_cast<unsigned>(padded / kAttentionRows);
      return grid;
    };
    launch(ctx, attention_backward_sm90_kernel<Side::keys, kD, kCausal>, grid_of(layout.kv_heads), kThreads,
           sizeof(BackwardShared<Side::keys, kD>), p);
    launch(ctx, attention_backward_sm90_kernel<Side::queries, kD, kCausal>, grid_of(layout.heads), kThreads,
           sizeof(BackwardShared<Side::queries, kD>), p);
  });
}

}  // namespace moe::cuda::sm90
