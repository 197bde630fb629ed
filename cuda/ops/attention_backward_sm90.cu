#include <cmath>
#include <type_traits>

#include "cuda/device/launch.cuh"
#include "cuda/ops/attention_delta.cuh"
#include "cuda/ops/attention_sm90.cuh"

namespace moe::cuda::sm90 {

// Two kernels of one form. A block keeps 128 rows of two matrices and loops over pairs of tiles of two other matrices:
//   keys:    keeps K and V, loops over Q and dO; owns dK and dV
//   queries: keeps Q and dO, loops over K and V; owns dQ
// S and dP are computed twice, and every gradient element has one owner, which adds in order: no atomics.
//
// Blocks have three warpgroups: one thread of the first copies pairs of tiles into a ring, and the two others own 64
// rows each. The kernel of the keys computes transposed matrices, (keys, queries), so that P^T and dS^T are left
// operands that never leave the registers; in that of the queries dS is such an operand without transposition.

static constexpr int kRows = 64;  // rows of a streamed tile

struct Backward {
  TensorMap qkv, d_out, d_qkv;
  const float* logsumexp;        // (sequences, heads, padded): LSE in powers of two; infinity past the end
  const float* delta;            // the same shape; 0 past the end
  const int32_t *begins, *ends;  // those of AttentionLayout, or null
  int time, padded, heads, kv_heads;
  float scale;

  __device__ int group() const { return heads / kv_heads; }
  // The places of key/value head `kv_head` among all heads of qkv.
  __device__ int key_head(int kv_head) const { return heads + kv_head; }
  __device__ int value_head(int kv_head) const { return heads + kv_heads + kv_head; }
  // The first key that a query attends to, and the end of the queries that attend to a key.
  __device__ int first_key(int sequence, int query) const {
    return begins == nullptr ? 0 : begins[int64_t{sequence} * time + min(query, time - 1)];
  }
  __device__ int end_query(int sequence, int key) const {
    return ends == nullptr ? time : ends[int64_t{sequence} * time + min(key, time - 1)];
  }
  // The index of a query in logsumexp and delta.
  __device__ int64_t query_at(int sequence, int head, int row) const {
    return (int64_t{sequence} * heads + head) * padded + row;
  }
};

template <int kD>
inline constexpr int kStagesFor = kD == 64 ? 4 : 2;

// Tiles that stay are split by warpgroup.
template <int kD>
struct KeysShared {
  static constexpr int kStages = kStagesFor<kD>;
  alignas(1024) BFloat16 keys[2][kGroupRows * kD];
  BFloat16 values[2][kGroupRows * kD];
  struct {
    BFloat16 queries[kRows * kD], d_out[kRows * kD];
  } tiles[kStages];
  alignas(16) float logsumexp[kStages][kRows], delta[kStages][kRows];  // of the queries
  uint64_t kept_full;
  Ring<kStages> ring;
};

template <int kD>
struct QueriesShared {
  static constexpr int kStages = kStagesFor<kD>;
  alignas(1024) BFloat16 queries[2][kGroupRows * kD];
  BFloat16 d_out[2][kGroupRows * kD];
  struct {
    BFloat16 keys[kRows * kD], values[kRows * kD];
  } tiles[kStages];
  uint64_t kept_full;
  Ring<kStages> ring;
};

// rows (2, sequences, heads, padded): LSE in powers of two, and delta. One warp per head of a token.
static __global__ void attention_backward_rows_sm90_kernel(float* rows, const BFloat16* out, const BFloat16* d_out,
                                                           const float* logsumexp, int64_t sequences, int64_t time,
                                                           int64_t padded, int64_t heads, int64_t d_head) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp, all = sequences * padded * heads;
  if (i >= all) return;
  const int64_t head = i % heads, t = i / heads % padded, sequence = i / heads / padded;
  const int64_t at = (sequence * time + t) * heads + head;
  float delta = 0;
  if (t < time) delta = attention_delta_part(out + at * d_head, d_out + at * d_head, d_head);
  delta = warp_sum(delta);
  if (lane_index() == 0) {
    const int64_t to = (sequence * heads + head) * padded + t;
    rows[to] = t < time ? logsumexp[at] * kLog2e : INFINITY;
    rows[all + to] = delta;
  }
}

// ---- parts of both kernels -----------------------------------------------------------------------------------------

// One thread of the first warpgroup calls copy_tiles. The two others call multiply(group, row): their index, and the
// first of the calling warp's 16 rows among those that the block keeps.
template <class Shared, class Tile, class Multiply>
static __device__ void run_warpgroups(Shared& shared, const Backward& p, const Tile& tile, Multiply multiply) {
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup - 1;
  if (threadIdx.x == 0) {
    prefetch_tensormap(p.qkv);
    prefetch_tensormap(p.d_out);
    mbarrier_init(shared.kept_full, 1);
    shared.ring.initialise(kMultiplyWarps);
    fence_mbarrier_init();
  }
  __syncthreads();
  if (group < 0) {
    setmaxnreg_dec<kCopyRegisters>();
    if (threadIdx.x == 0) copy_tiles(shared, p, tile);
  } else {
    setmaxnreg_inc<kMultiplyRegisters>();
    multiply(group, tile.first + group * kGroupRows + warp_index() % 4 * 16);
    if (lane_index() == 0) bulk_wait_group_read<0>();
  }
}

// Loads the 128 rows of a head from `first` on that a block keeps.
template <int kD>
static __device__ void load_kept(BFloat16 (&tiles)[2][kGroupRows * kD], const TensorMap& map, uint64_t& full, int head,
                                 int first, int sequence) {
  for (int g = 0; g < 2; ++g) load_head<kGroupRows, kD>(tiles[g], map, full, head, first + g * kGroupRows, sequence);
}

// The products of a pair of tiles: S = Q K^T and dP = dO V^T, or their transposes. On return S is complete, and dP
// after wgmma_wait_group<0>().
template <int kD>
static __device__ void multiply_pair(float (&scores)[kRows / 8][4], const BFloat16* kept, const BFloat16* streamed,
                                     float (&d_probabilities)[kRows / 8][4], const BFloat16* d_kept,
                                     const BFloat16* d_streamed) {
  wgmma_fence();
  warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kRows>(scores, kept, streamed, false);
  wgmma_commit_group();
  warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kRows>(d_probabilities, d_kept, d_streamed, false);
  wgmma_commit_group();
  wgmma_wait_group<1>();
  keep_registers(scores);
}

// S -> P = 2^(scale S - LSE), 0 where the query does not attend to the key. Both functions are called with a block of 8
// columns and an element of it.
template <class Visible, class LogSumExp>
static __device__ void to_probabilities(float (&scores)[kRows / 8][4], float scale, Visible is_visible,
                                        LogSumExp logsumexp) {
#pragma unroll
  for (int b = 0; b < kRows / 8; ++b) {
#pragma unroll
    for (int e = 0; e < 4; ++e)
      scores[b][e] = is_visible(b, e) ? ex2_approx(scores[b][e] * scale - logsumexp(b, e)) : 0.0f;
  }
}

// dP -> dS = P (dP - delta), the gradient of the scores before scaling.
template <class Delta>
static __device__ void to_d_scores(float (&d_probabilities)[kRows / 8][4], const float (&probabilities)[kRows / 8][4],
                                   Delta delta) {
#pragma unroll
  for (int b = 0; b < kRows / 8; ++b) {
#pragma unroll
    for (int e = 0; e < 4; ++e) d_probabilities[b][e] = probabilities[b][e] * (d_probabilities[b][e] - delta(b, e));
  }
}

// ---- dK and dV -----------------------------------------------------------------------------------------------------

// The work of a block: 128 keys from `first` on. It loops over `tiles` tiles of queries from tile `begin` on, once per
// query head of the key/value head.
struct KeysTile {
  int first, kv_head, sequence, begin, tiles, steps;

  __device__ int query_head(const Backward& p, int step) const { return kv_head * p.group() + step / tiles; }
  __device__ int first_query(int step) const { return (begin + step % tiles) * kRows; }
};

// With a causal mask the first keys have the most queries, so they come first.
template <bool kCausal>
static __device__ KeysTile keys_tile(const Backward& p) {
  KeysTile tile{};
  tile.first = static_cast<int>(blockIdx.y) * kAttentionRows;
  tile.kv_head = static_cast<int>(blockIdx.x) % p.kv_heads;
  tile.sequence = static_cast<int>(blockIdx.x) / p.kv_heads;
  tile.begin = kCausal ? tile.first / kRows : 0;
  const int end = p.end_query(tile.sequence, tile.first + kAttentionRows - 1);  // the last key has the last end
  tile.tiles = (end + kRows - 1) / kRows - tile.begin;
  tile.steps = tile.tiles * p.group();
  return tile;
}

// By one thread.
template <int kD>
static __device__ void copy_tiles(KeysShared<kD>& shared, const Backward& p, const KeysTile& tile) {
  mbarrier_arrive_expect_tx(shared.kept_full, 2 * 2 * kAttentionRows * kD);
  load_kept<kD>(shared.keys, p.qkv, shared.kept_full, p.key_head(tile.kv_head), tile.first, tile.sequence);
  load_kept<kD>(shared.values, p.qkv, shared.kept_full, p.value_head(tile.kv_head), tile.first, tile.sequence);
  RingPlace<KeysShared<kD>::kStages> place;
  for (int step = 0; step < tile.steps; ++step, place.advance()) {
    const int head = tile.query_head(p, step), query = tile.first_query(step);
    uint64_t& full = shared.ring.fill(place, 2 * 2 * kRows * kD + 2 * kRows * sizeof(float));
    load_head<kRows, kD>(shared.tiles[place.stage].queries, p.qkv, full, head, query, tile.sequence);
    load_head<kRows, kD>(shared.tiles[place.stage].d_out, p.d_out, full, head, query, tile.sequence);
    const int64_t at = p.query_at(tile.sequence, head, query);
    bulk_load(shared.logsumexp[place.stage], p.logsumexp + at, kRows * sizeof(float), full);
    bulk_load(shared.delta[place.stage], p.delta + at, kRows * sizeof(float), full);
  }
}

// Adds to the gradients of a warpgroup's 64 keys, of which this warp's 16 begin at `key`.
template <int kD, bool kCausal>
static __device__ void add_key_gradients(float (&d_keys)[kD / 8][4], float (&d_values)[kD / 8][4],
                                         KeysShared<kD>& shared, const Backward& p, const KeysTile& tile, int group,
                                         int key) {
  const int lane = lane_index(), end_key = tile.first + (group + 1) * kGroupRows;
  int own_end[2];  // the end of the queries that attend to each of the thread's two keys
#pragma unroll
  for (int h = 0; h < 2; ++h) own_end[h] = p.end_query(tile.sequence, key + accumulator_row(lane, 2 * h));
  const float scale = p.scale * kLog2e;
  RingPlace<KeysShared<kD>::kStages> place;
  mbarrier_wait_parity(shared.kept_full, 0);
  for (int step = 0; step < tile.steps; ++step) {
    const int first_query = tile.first_query(step);
    const BFloat16 *queries = shared.tiles[place.stage].queries, *d_out = shared.tiles[place.stage].d_out;
    const auto column = [&](int b, int e) { return 8 * b + accumulator_column(lane, e); };
    float scores[kRows / 8][4], d_scores[kRows / 8][4];
    uint32_t left_probabilities[kRows / 16][4], left_d_scores[kRows / 16][4];
    shared.ring.wait(place);
    multiply_pair<kD>(scores, shared.keys[group], queries, d_scores, shared.values[group], d_out);
    // Whether a key comes after a query. (Keys past the end may have any values, because they are not stored; for
    // queries past the end LSE is infinite.)
    const bool partial = kCausal && (end_key > first_query || p.ends != nullptr);
    to_probabilities(
        scores, scale,
        [&](int b, int e) {
          const int query = first_query + column(b, e);
          return !partial || (key + accumulator_row(lane, e) <= query && query < own_end[e / 2]);
        },
        [&](int b, int e) { return shared.logsumexp[place.stage][column(b, e)]; });
    to_operand(left_probabilities, scores);
    wgmma_wait_group<0>();
    keep_registers(d_scores);
    to_d_scores(d_scores, scores, [&](int b, int e) { return shared.delta[place.stage][column(b, e)]; });
    to_operand(left_d_scores, d_scores);
    keep_registers(d_keys);
    keep_registers(d_values);
    wgmma_fence();
    warpgroup_multiply<Operand::columns, kRows>(d_values, left_probabilities, d_out, true);
    warpgroup_multiply<Operand::columns, kRows>(d_keys, left_d_scores, queries, true);
    wgmma_commit_group();
    wgmma_wait_group<0>();
    keep_registers(d_keys);
    keep_registers(d_values);
    __syncwarp();  // other lanes have read LSE and delta
    if (lane == 0) shared.ring.release(place);
    place.advance();
  }
}

template <int kD, bool kCausal>
__global__ void __launch_bounds__(kThreads, 1) attention_backward_keys_sm90_kernel(const __grid_constant__ Backward p) {
  auto& shared = shared_memory<KeysShared<kD>>();
  const KeysTile tile = keys_tile<kCausal>(p);
  run_warpgroups(shared, p, tile, [&](int group, int key) {
    float d_keys[kD / 8][4] = {}, d_values[kD / 8][4] = {};
    add_key_gradients<kD, kCausal>(d_keys, d_values, shared, p, tile, group, key);
    barrier_sync(1 + group, kWarpgroup);  // all warps of the group have read the memory that is overwritten now
    const float scales[2] = {p.scale, p.scale}, ones[2] = {1, 1};
    store_head<kD>(p.d_qkv, shared.keys[group], d_keys, scales, p.key_head(tile.kv_head), key, tile.sequence);
    store_head<kD>(p.d_qkv, shared.values[group], d_values, ones, p.value_head(tile.kv_head), key, tile.sequence);
  });
}

// ---- dQ ------------------------------------------------------------------------------------------------------------

// The work of a block: 128 queries of a head from `first` on. It loops over `tiles` tiles of keys from tile `begin` on.
struct QueriesTile {
  int first, head, sequence, begin, tiles;

  __device__ int first_key(int step) const { return (begin + step) * kRows; }
};

// The last queries have the most keys, so they come first.
template <bool kCausal>
static __device__ QueriesTile queries_tile(const Backward& p) {
  const int all = (p.time + kRows - 1) / kRows;
  QueriesTile tile{};
  tile.first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kAttentionRows;
  tile.head = static_cast<int>(blockIdx.x) % p.heads;
  tile.sequence = static_cast<int>(blockIdx.x) / p.heads;
  tile.begin = p.first_key(tile.sequence, tile.first) / kRows;
  tile.tiles = (kCausal ? min(all, (tile.first + kAttentionRows) / kRows) : all) - tile.begin;
  return tile;
}

// By one thread.
template <int kD>
static __device__ void copy_tiles(QueriesShared<kD>& shared, const Backward& p, const QueriesTile& tile) {
  const int key_head = p.key_head(tile.head / p.group()), value_head = p.value_head(tile.head / p.group());
  mbarrier_arrive_expect_tx(shared.kept_full, 2 * 2 * kAttentionRows * kD);
  load_kept<kD>(shared.queries, p.qkv, shared.kept_full, tile.head, tile.first, tile.sequence);
  load_kept<kD>(shared.d_out, p.d_out, shared.kept_full, tile.head, tile.first, tile.sequence);
  RingPlace<QueriesShared<kD>::kStages> place;
  for (int step = 0; step < tile.tiles; ++step, place.advance()) {
    uint64_t& full = shared.ring.fill(place, 2 * 2 * kRows * kD);
    load_head<kRows, kD>(shared.tiles[place.stage].keys, p.qkv, full, key_head, tile.first_key(step), tile.sequence);
    load_head<kRows, kD>(shared.tiles[place.stage].values, p.qkv, full, value_head, tile.first_key(step),
                         tile.sequence);
  }
}

// Adds to the gradient of a warpgroup's 64 queries, of which this warp's 16 begin at `query`.
template <int kD, bool kCausal>
static __device__ void add_query_gradients(float (&d_queries)[kD / 8][4], QueriesShared<kD>& shared, const Backward& p,
                                           const QueriesTile& tile, int group, int query) {
  const int lane = lane_index(), first_query = tile.first + group * kGroupRows;
  float logsumexp[2], delta[2];
  int own_begin[2];  // the first key that each of the thread's two queries attends to
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int64_t at = p.query_at(tile.sequence, tile.head, query + accumulator_row(lane, 2 * h));
    logsumexp[h] = p.logsumexp[at];
    delta[h] = p.delta[at];
    own_begin[h] = p.first_key(tile.sequence, query + accumulator_row(lane, 2 * h));
  }
  const float scale = p.scale * kLog2e;
  RingPlace<QueriesShared<kD>::kStages> place;
  mbarrier_wait_parity(shared.kept_full, 0);
  for (int step = 0; step < tile.tiles; ++step) {
    const int first_key = tile.first_key(step);
    const BFloat16 *keys = shared.tiles[place.stage].keys, *values = shared.tiles[place.stage].values;
    float scores[kRows / 8][4], d_scores[kRows / 8][4];
    uint32_t left_d_scores[kRows / 16][4];
    shared.ring.wait(place);
    multiply_pair<kD>(scores, shared.queries[group], keys, d_scores, shared.d_out[group], values);
    // Whether a key comes after a query, or is past the end.
    const bool partial = first_key + kRows > (kCausal ? first_query : p.time) || p.begins != nullptr;
    to_probabilities(
        scores, scale,
        [&](int b, int e) {
          const int key = first_key + 8 * b + accumulator_column(lane, e);
          return !partial ||
                 (kCausal ? key <= query + accumulator_row(lane, e) && key >= own_begin[e / 2] : key < p.time);
        },
        [&](int, int e) { return logsumexp[e / 2]; });
    wgmma_wait_group<0>();
    keep_registers(d_scores);
    to_d_scores(d_scores, scores, [&](int, int e) { return delta[e / 2]; });
    to_operand(left_d_scores, d_scores);
    keep_registers(d_queries);
    wgmma_fence();
    warpgroup_multiply<Operand::columns, kRows>(d_queries, left_d_scores, keys, true);
    wgmma_commit_group();
    wgmma_wait_group<0>();
    keep_registers(d_queries);
    if (lane == 0) shared.ring.release(place);
    place.advance();
  }
}

template <int kD, bool kCausal>
__global__ void __launch_bounds__(kThreads, 1)
    attention_backward_queries_sm90_kernel(const __grid_constant__ Backward p) {
  auto& shared = shared_memory<QueriesShared<kD>>();
  const QueriesTile tile = queries_tile<kCausal>(p);
  run_warpgroups(shared, p, tile, [&](int group, int query) {
    float d_queries[kD / 8][4] = {};
    add_query_gradients<kD, kCausal>(d_queries, shared, p, tile, group, query);
    barrier_sync(1 + group, kWarpgroup);  // all warps of the group have read the memory that is overwritten now
    const float scales[2] = {p.scale, p.scale};
    store_head<kD>(p.d_qkv, shared.queries[group], d_queries, scales, tile.head, query, tile.sequence);
  });
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
    p.begins = layout.begins;
    p.ends = layout.ends;
    p.delta = rows + all;
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
    launch(ctx, attention_backward_keys_sm90_kernel<kD, kCausal>, grid_of(layout.kv_heads), kThreads,
           sizeof(KeysShared<kD>), p);
    launch(ctx, attention_backward_queries_sm90_kernel<kD, kCausal>, grid_of(layout.heads), kThreads,
           sizeof(QueriesShared<kD>), p);
  });
}

}  // namespace moe::cuda::sm90
