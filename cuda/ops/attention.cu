#include "core/ops/attention.h"

#include <cmath>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/mma_tile.cuh"
#include "cuda/kernel/tile.cuh"
#include "cuda/ops/attention_sm90.h"

namespace moe::cuda {

// The kernels for every device and type; attention_{forward,backward}_sm90.cu have Hopper's, without dropout.

// Tiles of 64 queries by 64 keys; four warps own 16 rows each. A head is padded with zeros to kD columns. bf16 loads
// the next tile while it works on this one; f32 has no room for that.
static constexpr int kRows = 64;
static constexpr int kThreads = 128;
static constexpr int kWarps = kThreads / kWarp;
static constexpr int kBlocks = kRows / 8;  // 8-column blocks of a tile of scores
static constexpr float kLog2e = 1.4426950408889634f;

struct Problem {
  AttentionLayout layout;
  int width;     // of a row of qkv
  float scale;   // 1 / sqrt(d_head)
  bool vectors;  // rows of heads may be loaded in 16-byte pieces
  AttentionMask mask;

  __device__ int64_t key_head(int64_t head) const { return head / (layout.heads / layout.kv_heads); }
};

// What dropout keeps of a thread's weights of a tile, before any of them is there: bit 4 b + e is set for element e of
// block b. Bits, drawn one after the other, take few registers; kernels without dropout have none of it in their code.
// Rows are queries, columns keys: two neighbours come from one draw.
static __device__ uint32_t kept_of_queries(const Problem& p, int64_t batch, int64_t head, int64_t query, int64_t key) {
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

// Rows are keys, columns queries.
static __device__ uint32_t kept_of_keys(const Problem& p, int64_t batch, int64_t head, int64_t query, int64_t key) {
  uint32_t bits = 0;
#pragma unroll 1
  for (int i = 0; i < 4 * kBlocks; ++i) {
    const int row = accumulator_row(lane_index(), i % 4),
              column = 8 * (i / 4) + accumulator_column(lane_index(), i % 4);
    bits |= static_cast<uint32_t>(p.mask.factor(batch, head, query + column, key + row) > 0) << i;
  }
  return bits;
}

static __device__ bool is_kept(uint32_t bits, int block, int element) {
  return (bits >> (4 * block + element) & 1) != 0;
}

template <class T, int kD>
struct Shape2 {
  static constexpr int kStride = tile_stride<T>(kD);
  using Tile = T[kRows * kStride];
};

template <int kD, class T>
static __device__ void load_rows(T* tile, const T* source, int ld, int rows, const Problem& p) {
  load_tile<kRows, kD, tile_stride<T>(kD), kThreads>(tile, source, ld, rows, static_cast<int>(p.layout.d_head),
                                                     p.vectors);
}

// A warp's 16 rows of an accumulator times `factor`, through its own 16 rows of a tile to global memory: whole lines.
template <int kD, class T>
static __device__ void store_rows(T* target, T* own_rows, const float (&c)[kD / 8][4], const float (&factor)[2],
                                  int64_t ld, int rows, const Problem& p) {
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

// Keys and values in two stages. In f32 there is one tile, which they take in turns: not every device has room for
// more.
template <class T, int kD>
struct ForwardShared {
  static constexpr bool kTurns = sizeof(T) == 4;
  using Tile = typename Shape2<T, kD>::Tile;
  Tile q, coming[kTurns ? 1 : 4];
  float staging[kWarps][staging_floats<T>(kRows)];
  __device__ Tile& k(int j) { return coming[kTurns ? 0 : j % 2]; }
  __device__ Tile& v(int j) { return coming[kTurns ? 0 : 2 + j % 2]; }
};

// One block per tile of queries of one head, the tiles with most keys first. Softmax runs along the keys with a running
// maximum; each row belongs to four lanes of one warp, so sums have a fixed order.
template <class T, int kD, bool kCausal, bool kDrops>
__global__ void __launch_bounds__(kThreads, 2)
    attention_forward_kernel(T* out, float* logsumexp, const T* qkv, Problem p) {
  using S = Shape2<T, kD>;
  auto& shared = shared_memory<ForwardShared<T, kD>>();
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads;
  const int tile = static_cast<int>(gridDim.y - 1 - blockIdx.y), first = tile * kRows;
  const int length = static_cast<int>(l.length(batch));
  const int last = kCausal ? tile : (length - 1) / kRows;  // tile of keys: the only one not seen whole
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  const T* sequence = qkv + batch * l.time * l.width();
  const T* keys = sequence + l.key_column() + p.key_head(head) * l.d_head;
  const T* values = sequence + l.value_column() + p.key_head(head) * l.d_head;
  constexpr bool kTurns = ForwardShared<T, kD>::kTurns;
  const auto load = [&](T* into, const T* source, int j) {
    load_rows<kD>(into, source + int64_t{j} * kRows * l.width(), p.width, time - j * kRows, p);
  };
  const auto load_both = [&](int j) {
    load(shared.k(j), keys, j);
    load(shared.v(j), values, j);
    cp_async_commit_group();
  };
  const auto wait = [&] {
    cp_async_wait_group<0>();
    __syncthreads();
  };

  load_rows<kD>(shared.q, sequence + first * l.width() + head * l.d_head, p.width, time - first, p);
  if (!kTurns) load_both(0);
  const float scale = p.scale * kLog2e;  // scores in powers of two
  float sums[kD / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  for (int j = 0; j <= last; ++j) {
    if (kTurns) {
      load(shared.k(j), keys, j);
      cp_async_commit_group();
    }
    wait();
    if (!kTurns && j < last) load_both(j + 1);
    const uint32_t kept = kDrops ? kept_of_queries(p, batch, head, first + warp_row, int64_t{j} * kRows) : 0;

    float scores[1][kBlocks][4] = {};
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(scores, shared.q + warp_row * S::kStride,
                                                                            shared.k(j));
    if (kTurns) {
      __syncthreads();
      load(shared.v(j), values, j);
      cp_async_commit_group();
    }
    float next[2] = {largest[0], largest[1]};
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& score = scores[0][b][e];
        const int column = 8 * b + accumulator_column(lane, e);
        const bool visible =
            j < last || column < (kCausal ? warp_row + accumulator_row(lane, e) + 1 : length - j * kRows);
        score = visible ? score * scale : -INFINITY;
        next[e / 2] = fmaxf(next[e / 2], score);
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      next[h] = warp_max<4>(next[h]);
      const float shrink = ex2_approx(largest[h] - next[h]);
      largest[h] = next[h];
      total[h] *= shrink;
#pragma unroll
      for (int b = 0; b < kD / 8; ++b) sums[b][2 * h] *= shrink, sums[b][2 * h + 1] *= shrink;
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[0][b][e] = ex2_approx(scores[0][b][e] - largest[e / 2]);
        total[e / 2] += scores[0][b][e];
      }
    }
    if (kDrops) {  // of what multiplies values, not of the sum that weights are divided by
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
        for (int e = 0; e < 4; ++e) scores[0][b][e] *= is_kept(kept, b, e) ? p.mask.keep : 0.0f;
      }
    }
    if (kTurns) wait();
    warp_multiply_accumulator<S::kStride>(sums, scores[0], shared.v(j), shared.staging[warp_index()]);
    __syncthreads();  // before the tile is overwritten
  }

  const int64_t row = batch * l.time + first + warp_row;
  float inverse[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] = warp_sum<4>(total[h]);
    inverse[h] = 1.0f / total[h];
    const int own = accumulator_row(lane, 2 * h);
    if (lane % 4 == 0 && first + warp_row + own < time) {
      logsumexp[(row + own) * l.heads + head] = largest[h] / kLog2e + logf(total[h]);
    }
  }
  store_rows<kD>(out + (row * l.heads + head) * l.d_head, shared.q + warp_row * S::kStride, sums, inverse,
                 static_cast<int>(l.heads * l.d_head), time - first - warp_row, p);
}

// dots (tokens, heads) = <out, d_out> of a head: what softmax's gradient subtracts. One warp per head of a token.
template <class T>
__global__ void attention_backward_dots_kernel(float* dots, const T* out, const T* d_out, int64_t heads,
                                               int64_t d_head) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (i >= heads) return;
  float dot = 0;
  for (int64_t c = lane_index(); c < d_head; c += kWarp)
    dot += load(out + i * d_head + c) * load(d_out + i * d_head + c);
  dot = warp_sum(dot);
  if (lane_index() == 0) dots[i] = dot;
}

// Two tiles that stay (a) and two that come one after the other (b, with their queries' log-sum-exp and dots).
template <class T, int kD, int kStages>
struct BackwardShared {
  typename Shape2<T, kD>::Tile a[2];
  typename Shape2<T, kD>::Tile b[kStages][2];
  float logsumexp[kStages][kRows], dots[kStages][kRows];
  float staging[kWarps][staging_floats<T>(kRows)];
};

// One block per tile of keys of one key/value head; it walks over the query heads that share it and their tiles of
// queries (with kCausal from its own on). Everything is transposed, (keys, queries), so that probabilities and their
// gradients are left operands that never leave the registers. Keys and values have one owner: no atomics, a fixed
// order. kKeys, kValues: whose gradients are computed.
template <class T, int kD, int kStages, bool kCausal, bool kDrops, bool kKeys, bool kValues>
__global__ void __launch_bounds__(kThreads, 2)
    attention_backward_keys_kernel(T* d_qkv, const T* d_out, const T* qkv, const float* logsumexp, const float* dots,
                                   Problem p) {
  using S = Shape2<T, kD>;
  auto& shared = shared_memory<BackwardShared<T, kD, kStages>>();
  const AttentionLayout& l = p.layout;
  const int64_t kv_head = blockIdx.x % l.kv_heads, batch = blockIdx.x / l.kv_heads, token = batch * l.time;
  const int tile = static_cast<int>(blockIdx.y), first = tile * kRows;
  const int first_tile = kCausal ? tile : 0, tiles = static_cast<int>(gridDim.y) - first_tile;  // of queries
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  const int group = static_cast<int>(l.heads / l.kv_heads), length = static_cast<int>(l.length(batch));
  const T* sequence = qkv + token * l.width();
  const int64_t key_column = l.key_column() + kv_head * l.d_head, value_column = l.value_column() + kv_head * l.d_head;
  const auto load = [&](int step) {
    const int head = static_cast<int>(kv_head) * group + step / tiles, begin = (first_tile + step % tiles) * kRows;
    const int stage = step % kStages, rows = time - static_cast<int>(begin);
    load_rows<kD>(shared.b[stage][0], sequence + begin * l.width() + head * l.d_head, p.width, rows, p);
    load_rows<kD>(shared.b[stage][1], d_out + ((token + begin) * l.heads + head) * l.d_head,
                  static_cast<int>(l.heads * l.d_head), rows, p);
    cp_async_commit_group();
    if (threadIdx.x < kRows) {
      const int i = static_cast<int>(threadIdx.x);
      const int64_t at = (token + begin + i) * l.heads + head;
      // Behind the end probabilities are 2^-infinity.
      shared.logsumexp[stage][i] = i < rows ? logsumexp[at] * kLog2e : INFINITY;
      shared.dots[stage][i] = i < rows ? dots[at] : 0.0f;
    }
  };

  load_rows<kD>(shared.a[0], sequence + first * l.width() + key_column, p.width, time - first, p);
  load_rows<kD>(shared.a[1], sequence + first * l.width() + value_column, p.width, time - first, p);
  load(0);
  const float scale = p.scale * kLog2e;
  float d_keys[kD / 8][4] = {}, d_values[kD / 8][4] = {};
  for (int step = 0; step < group * tiles; ++step) {
    cp_async_wait_group<0>();
    __syncthreads();
    if (kStages == 2 && step + 1 < group * tiles) load(step + 1);
    const int stage = step % kStages;
    const bool diagonal = kCausal && step % tiles == 0;
    const T *q = shared.b[stage][0], *d_o = shared.b[stage][1];
    const uint32_t kept = kDrops ? kept_of_keys(p, batch, kv_head * group + step / tiles,
                                                int64_t{first_tile + step % tiles} * kRows, first + warp_row)
                                 : 0;

    float scores[1][kBlocks][4] = {}, slopes[1][kBlocks][4] = {};
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(scores, shared.a[0] + warp_row * S::kStride,
                                                                            q);
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(slopes, shared.a[1] + warp_row * S::kStride,
                                                                            d_o);
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int query = 8 * b + accumulator_column(lane, e), key = warp_row + accumulator_row(lane, e);
        float& probability = scores[0][b][e];
        const bool hidden = kCausal ? diagonal && key > query : first + key >= length;
        probability = ex2_approx(hidden ? -INFINITY : probability * scale - shared.logsumexp[stage][query]);
        if (kDrops) {
          const float factor = is_kept(kept, b, e) ? p.mask.keep : 0.0f;
          slopes[0][b][e] = probability * (slopes[0][b][e] * factor - shared.dots[stage][query]);
          probability *= factor;
        } else {
          slopes[0][b][e] = probability * (slopes[0][b][e] - shared.dots[stage][query]);
        }
      }
    }
    if (kValues) warp_multiply_accumulator<S::kStride>(d_values, scores[0], d_o, shared.staging[warp_index()]);
    if (kKeys) warp_multiply_accumulator<S::kStride>(d_keys, slopes[0], q, shared.staging[warp_index()]);
    __syncthreads();
    if (kStages == 1 && step + 1 < group * tiles) load(step + 1);
  }

  T* target = d_qkv + (token + first + warp_row) * l.width();
  const float one[2] = {1, 1}, scales[2] = {p.scale, p.scale};
  if (kKeys) {
    store_rows<kD>(target + key_column, shared.a[0] + warp_row * S::kStride, d_keys, scales, p.width,
                   time - first - warp_row, p);
  }
  if (kValues) {
    store_rows<kD>(target + value_column, shared.a[1] + warp_row * S::kStride, d_values, one, p.width,
                   time - first - warp_row, p);
  }
}

// One block per tile of queries of one head, over the tiles of keys that it sees.
template <class T, int kD, int kStages, bool kCausal, bool kDrops>
__global__ void __launch_bounds__(kThreads, 2)
    attention_backward_queries_kernel(T* d_qkv, const T* d_out, const T* qkv, const float* logsumexp, const float* dots,
                                      Problem p) {
  using S = Shape2<T, kD>;
  auto& shared = shared_memory<BackwardShared<T, kD, kStages>>();
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads, token = batch * l.time;
  const int tile = static_cast<int>(gridDim.y - 1 - blockIdx.y), first = tile * kRows;
  const int length = static_cast<int>(l.length(batch));
  const int last = kCausal ? tile : (length - 1) / kRows;  // tile of keys: the only one not seen whole
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  const T* sequence = qkv + token * l.width();
  const T* keys = sequence + l.key_column() + p.key_head(head) * l.d_head;
  const T* values = sequence + l.value_column() + p.key_head(head) * l.d_head;
  const auto load = [&](int j) {
    const int64_t begin = int64_t{j} * kRows;
    load_rows<kD>(shared.b[j % kStages][0], keys + begin * l.width(), p.width, time - j * kRows, p);
    load_rows<kD>(shared.b[j % kStages][1], values + begin * l.width(), p.width, time - j * kRows, p);
    cp_async_commit_group();
  };

  load_rows<kD>(shared.a[0], sequence + first * l.width() + head * l.d_head, p.width, time - first, p);
  load_rows<kD>(shared.a[1], d_out + ((token + first) * l.heads + head) * l.d_head,
                static_cast<int>(l.heads * l.d_head), time - first, p);
  load(0);
  float lse[2], dot[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int own = warp_row + accumulator_row(lane, 2 * h);
    const int64_t at = (token + first + own) * l.heads + head;
    lse[h] = first + own < time ? logsumexp[at] * kLog2e : INFINITY;
    dot[h] = first + own < time ? dots[at] : 0.0f;
  }
  const float scale = p.scale * kLog2e;
  float d_queries[kD / 8][4] = {};
  for (int j = 0; j <= last; ++j) {
    cp_async_wait_group<0>();
    __syncthreads();
    if (kStages == 2 && j < last) load(j + 1);
    const T *k = shared.b[j % kStages][0], *v = shared.b[j % kStages][1];
    const uint32_t kept = kDrops ? kept_of_queries(p, batch, head, first + warp_row, int64_t{j} * kRows) : 0;

    float scores[1][kBlocks][4] = {}, slopes[1][kBlocks][4] = {};
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(scores, shared.a[0] + warp_row * S::kStride,
                                                                            k);
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(slopes, shared.a[1] + warp_row * S::kStride,
                                                                            v);
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = 8 * b + accumulator_column(lane, e);
        const bool visible =
            j < last || column < (kCausal ? warp_row + accumulator_row(lane, e) + 1 : length - j * kRows);
        const float probability = visible ? ex2_approx(scores[0][b][e] * scale - lse[e / 2]) : 0.0f;
        if (kDrops) slopes[0][b][e] *= is_kept(kept, b, e) ? p.mask.keep : 0.0f;
        slopes[0][b][e] = probability * (slopes[0][b][e] - dot[e / 2]);
      }
    }
    warp_multiply_accumulator<S::kStride>(d_queries, slopes[0], k, shared.staging[warp_index()]);
    __syncthreads();
    if (kStages == 1 && j < last) load(j + 1);
  }
  const float scales[2] = {p.scale, p.scale};
  store_rows<kD>(d_qkv + (token + first + warp_row) * l.width() + head * l.d_head, shared.a[0] + warp_row * S::kStride,
                 d_queries, scales, p.width, time - first - warp_row, p);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Calls body(T{}, integral_constant<kD>, bool_constant<kCausal>, bool_constant<kDrops>) with the width that heads are
// padded to.
template <class Body>
static void for_head(DType dtype, const AttentionLayout& layout, bool drops, Body body) {
  if (layout.d_head > 128)
    raise<DeviceError>("attention heads of {}: on CUDA they have at most 128 dimensions", layout.d_head);
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

static bool has_shared(const Context& ctx, size_t bytes) {
  return ctx.planning || bytes <= ctx.queue->info().shared_bytes_per_block;
}

// Devices that are not made for servers have little: 99 KiB.
static void check_shared(const Context& ctx, size_t bytes, const AttentionLayout& layout) {
  if (has_shared(ctx, bytes)) return;
  raise<DeviceError>(
      "gradients of attention heads of {} in f32 need {} KiB of shared memory, {} has {}: take precision: bf16, or "
      "heads of at most 64",
      layout.d_head, bytes >> 10, ctx.queue->info().name, ctx.queue->info().shared_bytes_per_block >> 10);
}

template <class T, class... Pointers>
static Problem make_problem(const AttentionLayout& layout, const AttentionDropout& dropout,
                            const Pointers*... pointers) {
  return {layout, static_cast<int>(layout.width()),
          static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head))),
          in_vectors<T>(layout.d_head, pointers...), AttentionMask::of(dropout, layout)};
}

// Blocks for every head of every sequence, and for every tile of one.
static dim3 grid_of(int64_t heads, const AttentionLayout& layout) {
  dim3 grid = blocks_for(heads, 1);
  grid.y = static_cast<unsigned>((layout.time + kRows - 1) / kRows);
  return grid;
}

void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout,
                       const AttentionDropout& dropout) {
  if (!dropout && sm90::takes_attention(ctx, qkv.dtype, layout, {out.data, qkv.data}))
    return sm90::attention_forward(ctx, out, logsumexp, qkv, layout);
  const int64_t batch = qkv.dim(0) / layout.time;
  for_head(qkv.dtype, layout, bool(dropout),
           [&]<class T, int kD, bool kCausal, bool kDrops>(T, std::integral_constant<int, kD>,
                                                           std::bool_constant<kCausal>, std::bool_constant<kDrops>) {
             launch(ctx, attention_forward_kernel<T, kD, kCausal, kDrops>, grid_of(batch * layout.heads, layout),
                    kThreads, sizeof(ForwardShared<T, kD>), out.as<T>(), logsumexp.as<float>(), qkv.as<T>(),
                    make_problem<T>(layout, dropout, out.as<T>(), qkv.as<T>()));
           });
}

void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout, const AttentionDropout& dropout) {
  const int64_t tokens = qkv.dim(0), batch = tokens / layout.time, heads = tokens * layout.heads;
  ScratchScope scratch(ctx);
  // As much as either variant needs: which one runs is not known while planning.
  const int64_t kept =
      layout.time < sm90::kShortest ? heads : 2 * batch * layout.heads * sm90::padded_time(layout.time);
  float* dots = scratch.allocate(Shape{kept}, DType::f32).as<float>();
  if (!dropout && sm90::takes_attention(ctx, qkv.dtype, layout, {d_qkv.data, d_out.data, qkv.data, out.data}))
    return sm90::attention_backward(ctx, d_qkv, d_out, qkv, out, logsumexp, dots, layout);
  for_head(qkv.dtype, layout, bool(dropout),
           [&]<class T, int kD, bool kCausal, bool kDrops>(T, std::integral_constant<int, kD>,
                                                           std::bool_constant<kCausal>, std::bool_constant<kDrops>) {
             // Wide tiles come in one stage: a second block on the multiprocessor hides the waiting, where one fits.
             constexpr int kStages = sizeof(T) == 2 && kD == 64 ? 2 : 1;
             constexpr size_t kBytes = sizeof(BackwardShared<T, kD, kStages>);
             check_shared(ctx, kBytes, layout);
             const Problem problem = make_problem<T>(layout, dropout, d_qkv.as<T>(), d_out.as<T>(), qkv.as<T>());
             launch(ctx, attention_backward_dots_kernel<T>, blocks_for(heads, 8), 8 * kWarp, 0, dots, out.as<T>(),
                    d_out.as<T>(), heads, layout.d_head);
             const auto of_keys = [&](auto kernel, size_t bytes) {
               launch(ctx, kernel, grid_of(batch * layout.kv_heads, layout), kThreads, bytes, d_qkv.as<T>(),
                      d_out.as<T>(), qkv.as<T>(), logsumexp.as<float>(), dots, problem);
             };
             // Both at once would spill registers, except of bf16 in two stages.
             constexpr bool kWide = kD > 64, kBoth = !kWide || (kCausal && !kDrops);
             constexpr int kStagesOfBoth = sizeof(T) == 2 ? 2 : 1;
             constexpr size_t kBytesOfBoth = sizeof(BackwardShared<T, kD, kStagesOfBoth>);
             if (kBoth && has_shared(ctx, kBytesOfBoth)) {
               if constexpr (kBoth) {
                 of_keys(attention_backward_keys_kernel<T, kD, kStagesOfBoth, kCausal, kDrops, true, true>,
                         kBytesOfBoth);
               }
             } else if constexpr (kWide) {
               of_keys(attention_backward_keys_kernel<T, kD, kStages, kCausal, kDrops, true, false>, kBytes);
               of_keys(attention_backward_keys_kernel<T, kD, kStages, kCausal, kDrops, false, true>, kBytes);
             }
             launch(ctx, attention_backward_queries_kernel<T, kD, kStages, kCausal, kDrops>,
                    grid_of(batch * layout.heads, layout), kThreads, kBytes, d_qkv.as<T>(), d_out.as<T>(), qkv.as<T>(),
                    logsumexp.as<float>(), dots, problem);
           });
}

}  // namespace moe::cuda
