#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <type_traits>

#include "cuda/device/launch.cuh"
#include "cuda/device/tensor_map.h"
#include "cuda/ops/attention_sm90.cuh"
#include "cuda/ops/row_tiles.h"

namespace moe::cuda::sm90 {

static constexpr int kKeys = 128;  // keys of a tile
static constexpr int kStages = 2;

struct Forward {
  TensorMap queries, keys, out;
  float* logsumexp;
  const int32_t* begins;  // AttentionLayout::begins, or null
  int time, heads, kv_heads, sequences;
  int together;  // pairs of a head and a sequence whose keys and values fit into the L2 cache
  float scale;   // scale of the scores, which are in powers of two

  // The first key that a query attends to.
  __device__ int first_key(int sequence, int query) const {
    return begins == nullptr ? 0 : begins[int64_t{sequence} * time + min(query, time - 1)];
  }
};

template <int kD>
struct ForwardShared {
  alignas(1024) BFloat16 q[2][kGroupRows * kD];
  BFloat16 k[kStages][kKeys * kD], v[kStages][kKeys * kD];
  BFloat16 out[2][kGroupRows * kD];
  uint64_t q_full, q_empty;
  Ring<kStages> keys, values;
  float order[kMultiplyWarps * kWarp];  // see finish_before_wait
};

// A tile of queries of one head, and the first and last tiles of keys that they attend to.
struct ForwardTile {
  int first, head, sequence, begin, last;
};

// Pairs of a sequence and a head come in groups, so that tiles of queries that run at the same time and after one
// another read the same keys and values, from the L2 cache. Within a group tiles with most keys come first; among equal
// tiles the heads of a sequence follow one another.
template <bool kCausal>
static __device__ ForwardTile forward_tile(const Forward& p, int index) {
  const int tiles = (p.time + kAttentionRows - 1) / kAttentionRows, group = index / (p.together * tiles);
  const int first = group * p.together, pairs = min(p.together, p.heads * p.sequences - first);
  const int place = index - first * tiles, tile = tiles - 1 - place / pairs, pair = first + place % pairs;
  static_assert(kAttentionRows == kKeys);
  const int query = tile * kAttentionRows, sequence = pair / p.heads;
  return {query, pair % p.heads, sequence, p.first_key(sequence, query) / kKeys, kCausal ? tile : tiles - 1};
}

// One step of softmax along the keys. Scores become powers of two after subtraction of the running maximum, which
// belongs to the four lanes that share a row. shrink is the factor by which earlier sums have to be multiplied.
static __device__ void softmax_step(float (&s)[kKeys / 8][4], float (&largest)[2], float (&total)[2],
                                    float (&shrink)[2], float scale) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float next = largest[h];
#pragma unroll
    for (int b = 0; b < kKeys / 8; ++b) next = fmaxf(next, fmaxf(s[b][2 * h], s[b][2 * h + 1]));
    next = warp_max<4>(next);
    shrink[h] = ex2_approx((largest[h] - next) * scale);
    largest[h] = next;
    const float offset = next * scale;
    float sum = 0;
#pragma unroll
    for (int b = 0; b < kKeys / 8; ++b) {
#pragma unroll
      for (int e = 2 * h; e < 2 * h + 2; ++e) {
        s[b][e] = ex2_approx(s[b][e] * scale - offset);
        sum += s[b][e];
      }
    }
    total[h] = total[h] * shrink[h] + sum;
  }
}

// Has the compiler finish what `value` depends on before the next wait. Otherwise ptxas moves the wait for a product
// up, above the exponentials that should run during the product: nothing in them refers to memory or to the product. A
// store to shared memory is the cheapest instruction that it does not move over the wait. Nothing reads the store.
static __device__ void finish_before_wait(float* order, float value) {
  st_shared(order + threadIdx.x - kWarpgroup, value);
}

// Hides the keys of a tile, which begins at `first_key`, that are before the documents of the thread's two queries.
static __device__ void hide_before(float (&s)[kKeys / 8][4], const int (&begins)[2], int first_key) {
  const int lane = lane_index();
#pragma unroll
  for (int b = 0; b < kKeys / 8; ++b) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (8 * b + accumulator_column(lane, e) < begins[e / 2] - first_key) s[b][e] = -INFINITY;
    }
  }
}

// One block per multiprocessor, which loops over tiles of 128 queries of a head, and for each from its last tile of
// keys to the first: only the last one has masked keys, unless sequences hold several documents. While P of one tile is
// multiplied by V, S of the next tile is computed and turned into P. P stays in registers. Each row belongs to four
// lanes of one warp, so sums have a fixed order.
template <int kD, bool kCausal>
__global__ void __launch_bounds__(kThreads, 1) attention_forward_sm90_kernel(const __grid_constant__ Forward p) {
  auto& shared = shared_memory<ForwardShared<kD>>();
  const int tiles = (p.time + kAttentionRows - 1) / kAttentionRows * p.heads * p.sequences;
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup - 1, lane = lane_index();
  if (threadIdx.x == 0) {
    prefetch_tensormap(p.queries);
    prefetch_tensormap(p.keys);
    mbarrier_init(shared.q_full, 1);
    mbarrier_init(shared.q_empty, kMultiplyWarps);
    shared.keys.initialise(kMultiplyWarps);
    shared.values.initialise(kMultiplyWarps);
    fence_mbarrier_init();
  }
  __syncthreads();
  RingPlace<kStages> key_place, value_place;
  uint32_t round = 0;

  if (group < 0) {
    setmaxnreg_dec<kCopyRegisters>();
    if (threadIdx.x == 0) {
      for (int i = static_cast<int>(blockIdx.x); i < tiles; i += static_cast<int>(gridDim.x), round ^= 1) {
        const ForwardTile tile = forward_tile<kCausal>(p, i);
        const int kv_head = tile.head / (p.heads / p.kv_heads);
        mbarrier_wait_parity(shared.q_empty, round ^ 1);
        mbarrier_arrive_expect_tx(shared.q_full, 2 * kAttentionRows * kD);
        for (int g = 0; g < 2; ++g)
          load_head<kGroupRows, kD>(shared.q[g], p.queries, shared.q_full, tile.head, tile.first + g * kGroupRows,
                                    tile.sequence);
        for (int j = tile.last; j >= tile.begin; --j, key_place.advance(), value_place.advance()) {
          uint64_t& keys = shared.keys.fill(key_place, 2 * kKeys * kD);
          load_head<kKeys, kD>(shared.k[key_place.stage], p.keys, keys, p.heads + kv_head, j * kKeys, tile.sequence);
          uint64_t& values = shared.values.fill(value_place, 2 * kKeys * kD);
          load_head<kKeys, kD>(shared.v[value_place.stage], p.keys, values, p.heads + p.kv_heads + kv_head, j * kKeys,
                               tile.sequence);
        }
      }
    }
  } else {
    setmaxnreg_inc<kMultiplyRegisters>();
    const BFloat16* q = shared.q[group];
    for (int i = static_cast<int>(blockIdx.x); i < tiles; i += static_cast<int>(gridDim.x), round ^= 1) {
      const ForwardTile tile = forward_tile<kCausal>(p, i);
      const int row = group * kGroupRows + warp_index() % 4 * 16;  // row within the tile
      float sums[kD / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0}, shrink[2];
      float scores[kKeys / 8][4];
      int own_begin[2];  // the first key that each of the thread's two queries attends to
#pragma unroll
      for (int h = 0; h < 2; ++h)
        own_begin[h] = p.first_key(tile.sequence, tile.first + row + accumulator_row(lane, 2 * h));
      uint32_t probabilities[kKeys / 16][4];

      mbarrier_wait_parity(shared.q_full, round);
      shared.keys.wait(key_place);
      wgmma_fence();
      warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kKeys>(scores, q, shared.k[key_place.stage],
                                                                              false);
      wgmma_commit_group();
      wgmma_wait_group<0>();
      keep_registers(scores);
      if (lane == 0) shared.keys.release(key_place);
      key_place.advance();
      const int keys = p.time - tile.last * kKeys;  // number of keys in the last tile
#pragma unroll
      for (int b = 0; b < kKeys / 8; ++b) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int key = 8 * b + accumulator_column(lane, e);
          const bool hidden = kCausal
                                  ? key > row + accumulator_row(lane, e) || key < own_begin[e / 2] - tile.last * kKeys
                                  : key >= keys;
          if (hidden) scores[b][e] = -INFINITY;
        }
      }
      softmax_step(scores, largest, total, shrink, p.scale);
      to_operand(probabilities, scores);

      for (int j = tile.last; j > tile.begin; --j) {
        shared.keys.wait(key_place);
        keep_registers(probabilities);
        keep_registers(sums);
        wgmma_fence();
        warpgroup_multiply<Operand::rows, Operand::rows, kD, kGroupRows, kKeys>(scores, q, shared.k[key_place.stage],
                                                                                false);
        wgmma_commit_group();
        shared.values.wait(value_place);
        wgmma_fence();
        warpgroup_multiply<Operand::columns, kKeys>(sums, probabilities, shared.v[value_place.stage], true);
        wgmma_commit_group();
        wgmma_wait_group<1>();
        keep_registers(scores);
        if (lane == 0) shared.keys.release(key_place);
        key_place.advance();
        if (kCausal && p.begins != nullptr) hide_before(scores, own_begin, (j - 1) * kKeys);
        softmax_step(scores, largest, total, shrink, p.scale);
        finish_before_wait(shared.order, total[0] + total[1]);
        wgmma_wait_group<0>();
        keep_registers(sums);
        keep_registers(probabilities);
        if (lane == 0) shared.values.release(value_place);
        value_place.advance();
#pragma unroll
        for (int b = 0; b < kD / 8; ++b) {
#pragma unroll
          for (int e = 0; e < 4; ++e) sums[b][e] *= shrink[e / 2];
        }
        to_operand(probabilities, scores);
      }
      if (lane == 0) mbarrier_arrive(shared.q_empty);
      shared.values.wait(value_place);
      keep_registers(probabilities);
      keep_registers(sums);
      wgmma_fence();
      warpgroup_multiply<Operand::columns, kKeys>(sums, probabilities, shared.v[value_place.stage], true);
      wgmma_commit_group();
      wgmma_wait_group<0>();
      keep_registers(sums);
      if (lane == 0) shared.values.release(value_place);
      value_place.advance();

      float inverse[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        total[h] = warp_sum<4>(total[h]);
        inverse[h] = 1.0f / total[h];
        const int query = tile.first + row + accumulator_row(lane, 2 * h);
        if (lane % 4 == 0 && query < p.time) {
          p.logsumexp[(int64_t{tile.sequence} * p.time + query) * p.heads + tile.head] =
              largest[h] * p.scale / kLog2e + logf(total[h]);
        }
      }
      if (lane == 0) bulk_wait_group_read<0>();  // the previous tile's store has read shared.out
      __syncwarp();
      store_head<kD>(p.out, shared.out[group], sums, inverse, tile.head, tile.first + row, tile.sequence);
    }
    if (lane == 0) bulk_wait_group_read<0>();
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

bool takes_attention(const Context& ctx, DType dtype, const AttentionLayout& layout,
                     std::initializer_list<const void*> pointers) {
  return ctx.queue && ctx.queue->hopper() && dtype == DType::bf16 && layout.time >= kShortest &&
         layout.lengths == nullptr && layout.d_head % 8 == 0 && layout.d_head <= 128 && at_copy_boundary(pointers);
}

void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout) {
  const int64_t tokens = qkv.dim(0);
  if (ctx.planning || tokens == 0) return;
  for_head(layout, [&]<int kD, bool kCausal>(std::integral_constant<int, kD>, std::bool_constant<kCausal>) {
    Forward p{};
    const int64_t all_heads = layout.heads + 2 * layout.kv_heads, sequences = tokens / layout.time;
    p.queries = map_of_heads(qkv.data, all_heads, tokens, layout, kGroupRows);
    p.keys = map_of_heads(qkv.data, all_heads, tokens, layout, kKeys);
    p.out = map_of_heads(out.data, layout.heads, tokens, layout, kStoredRows);
    p.logsumexp = logsumexp.as<float>();
    p.begins = layout.begins;
    p.time = static_cast<int>(layout.time);
    p.heads = static_cast<int>(layout.heads);
    p.kv_heads = static_cast<int>(layout.kv_heads);
    p.sequences = static_cast<int>(sequences);
    // Per pair; heads that share keys and values follow one another. The rest of the cache is for queries and results.
    const int64_t bytes = layout.time * layout.d_head * 4 * layout.kv_heads / layout.heads;
    const auto cache = static_cast<int64_t>(ctx.queue->info().l2_bytes) / 8 * 5;
    p.together = static_cast<int>(std::clamp<int64_t>(cache / bytes, 1, layout.heads * sequences));
    p.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head))) * kLog2e;
    const int64_t tiles = padded_time(layout.time) / kAttentionRows * layout.heads * sequences;
    launch(ctx, attention_forward_sm90_kernel<kD, kCausal>, persistent_grid(ctx, tiles, 1), kThreads,
           sizeof(ForwardShared<kD>), p);
  });
}

}  // namespace moe::cuda::sm90
