#include "core/ops/window_attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/ops/attention_delta.cuh"

namespace moe::cuda {

// Ordinary f32 arithmetic over tiles of 32 queries and 32 keys, for any storage type. Each of four warps owns 8 rows of
// a tile, and a lane owns one column. Rows are an odd number of floats apart in shared memory, so that lanes that read
// neighbouring rows cover all banks. A tile of pairs has 63 different distances.
static constexpr int kRows = 32;
static constexpr int kThreads = 128;
static constexpr int kWarpRows = kRows / (kThreads / kWarp);  // rows of a warp
static constexpr int kSpan = 2 * kRows - 1;
static constexpr float kLog2e = std::numbers::log2e_v<float>;

struct WindowProblem {
  AttentionLayout layout;
  AttentionWindow window;
  float scale;  // 1 / sqrt(d_head)
  int ld;       // leading dimension of a tile in shared memory
  AttentionMask mask;

  __device__ int64_t key_head(int64_t head) const { return head / (layout.heads / layout.kv_heads); }
  __device__ bool sees(int64_t query, int64_t key) const {
    return query < layout.time && key >= window.first_seen(query) && key < window.end_seen(query);
  }
};

// Rows of one head by position: positions from 0 on are in the sequence, negative ones in the context memory.
template <class T>
struct Places {
  const T *sequence, *memory;
  int64_t ld, memory_ld, begin, end;  // [begin, end): positions that exist
  __device__ const T* at(int64_t place) const {
    if (place < begin || place >= end) return nullptr;
    return place < 0 ? memory + place * memory_ld : sequence + place * ld;
  }
};

template <class T>
struct HeadRows {
  Places<T> queries, keys, values;
};
template <class T>
static __device__ HeadRows<T> head_rows(const T* qkv, const T* memory, int64_t batch, int64_t head,
                                        const WindowProblem& p) {
  const AttentionLayout& l = p.layout;
  const int64_t kv = p.key_head(head) * l.d_head, width = l.width(), kept = l.memory_width();
  const T* sequence = qkv + batch * l.time * width;
  const auto before = [&](int64_t column) {  // pointer past the memory's last position
    return memory ? memory + (batch + 1) * p.window.size * kept + column : nullptr;
  };
  return {.queries = {.sequence = sequence + head * l.d_head,
                      .memory = nullptr,
                      .ld = width,
                      .memory_ld = 0,
                      .begin = 0,
                      .end = l.time},
          .keys = {.sequence = sequence + l.key_column() + kv,
                   .memory = before(kv),
                   .ld = width,
                   .memory_ld = kept,
                   .begin = -p.window.filled,
                   .end = l.time},
          .values = {.sequence = sequence + l.value_column() + kv,
                     .memory = before(l.kv_heads * l.d_head + kv),
                     .ld = width,
                     .memory_ld = kept,
                     .begin = -p.window.filled,
                     .end = l.time}};
}

// The learned position embeddings by distance; distances below 1 and above the window's size do not exist.
template <class T>
static __device__ Places<T> distances(const T* positions, const WindowProblem& p) {
  return {.sequence = positions - p.layout.d_head,
          .memory = nullptr,
          .ld = p.layout.d_head,
          .memory_ld = 0,
          .begin = 1,
          .end = p.window.size + 1};
}

// Called by all threads of the block: loads kCount rows from position `first` on; zeros where there is none.
template <int kCount, class T>
static __device__ void load_places(float* tile, const Places<T>& places, int64_t first, const WindowProblem& p) {
  const int d = static_cast<int>(p.layout.d_head);
  for (int i = static_cast<int>(threadIdx.x); i < kCount * d; i += kThreads) {
    const int row = i / d, column = i % d;
    const T* from = places.at(first + row);
    tile[row * p.ld + column] = from ? load(from + column) : 0.0f;
  }
}

// products[r] = <row `warp_row` + r of a, row `lane` of b (+ row `warp_row` + r - lane + 31 of by_distance)>
static __device__ void multiply_rows(float (&products)[kWarpRows], const float* a, const float* b,
                                     const float* by_distance, const WindowProblem& p) {
  const int lane = lane_index(), warp_row = warp_index() * kWarpRows;
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) products[r] = 0;
  const int distance = (warp_row - lane + kRows - 1) * p.ld;
#pragma unroll 1
  for (int c = 0; c < p.layout.d_head; ++c) {
    const float of_b = b[lane * p.ld + c];
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      products[r] += a[(warp_row + r) * p.ld + c] * (by_distance ? of_b + by_distance[distance + r * p.ld + c] : of_b);
    }
  }
}

// sums[r] += weights[r] of each lane times row `lane` of b (+ row `warp_row` + r - lane + 31 of by_distance); a lane
// owns every 32nd column.
template <int kC>
static __device__ void add_weighted_rows(float (&sums)[kWarpRows][kC], const float (&weights)[kWarpRows],
                                         const float* b, const float* by_distance, const WindowProblem& p) {
  const int lane = lane_index(), warp_row = warp_index() * kWarpRows;
#pragma unroll 1
  for (int row = 0; row < kRows; ++row) {
    float factor[kWarpRows];
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) factor[r] = __shfl_sync(kAllLanes, weights[r], row);
#pragma unroll
    for (int c = 0; c < kC; ++c) {
      const int column = c * kWarp + lane;
      if (column >= p.layout.d_head) continue;
      const float of_b = b[row * p.ld + column];
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) {
        const float more = by_distance ? by_distance[(warp_row + r - row + kRows - 1) * p.ld + column] : 0.0f;
        sums[r][c] += factor[r] * (of_b + more);
      }
    }
  }
}

// Stores this warp's rows to positions [first, end) of `target`, `ld` apart.
template <int kC, class T>
static __device__ void store_sums(T* target, int64_t ld, int64_t first, int64_t end, const float (&sums)[kWarpRows][kC],
                                  const float (&factors)[kWarpRows], const WindowProblem& p) {
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    const int64_t row = first + warp_index() * kWarpRows + r;
#pragma unroll
    for (int c = 0; c < kC; ++c) {
      const int column = c * kWarp + lane_index();
      if (row < end && column < p.layout.d_head) store(target + row * ld + column, sums[r][c] * factors[r]);
    }
  }
}

// One block per tile of queries of one head; it loops over the tiles of keys that any of the queries attends to. A
// warp's softmax runs along the keys with a running maximum; sums are in the order of the tiles and lanes.
template <class T, int kC>
__global__ void __launch_bounds__(kThreads, 1)
    window_attention_forward_kernel(T* out, float* logsumexp, const T* qkv, const T* memory, const T* positions,
                                    WindowProblem p) {
  float* query_tile = &shared_memory<float>();
  float *key_tile = query_tile + kRows * p.ld, *value_tile = key_tile + kRows * p.ld,
        *by_distance = positions ? value_tile + kRows * p.ld : nullptr;
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads, first = int64_t{blockIdx.y} * kRows;
  const int64_t end = first + kRows < l.time ? first + kRows : l.time;
  const HeadRows<T> rows = head_rows(qkv, memory, batch, head, p);
  const int lane = lane_index();
  const int64_t query = first + warp_index() * kWarpRows;
  load_places<kRows>(query_tile, rows.queries, first, p);
  float sums[kWarpRows][kC] = {}, largest[kWarpRows], total[kWarpRows] = {};
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) largest[r] = -INFINITY;
  for (int64_t j = p.window.first_seen(first); j < p.window.end_seen(end - 1); j += kRows) {
    load_places<kRows>(key_tile, rows.keys, j, p);
    load_places<kRows>(value_tile, rows.values, j, p);
    if (positions) load_places<kSpan>(by_distance, distances(positions, p), first - j - (kRows - 1), p);
    __syncthreads();
    float scores[kWarpRows];
    multiply_rows(scores, query_tile, key_tile, by_distance, p);
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      scores[r] = p.sees(query + r, j + lane) ? scores[r] * (p.scale * kLog2e) : -INFINITY;
      const float next = fmaxf(largest[r], warp_max(scores[r]));
      const float base = next == -INFINITY ? 0.0f : next;  // no key yet: all weights are 2^-infinity = 0
      const float shrink = ex2_approx(largest[r] - base);
      largest[r] = next;
      scores[r] = ex2_approx(scores[r] - base);
      total[r] = total[r] * shrink + warp_sum(scores[r]);
      // Dropout applies to the weights that multiply V, not to the sum that they are divided by.
      if (p.mask) scores[r] *= p.mask.factor(batch, head, query + r, j + lane);
#pragma unroll
      for (int c = 0; c < kC; ++c) sums[r][c] *= shrink;
    }
    add_weighted_rows<kC>(sums, scores, value_tile, nullptr, p);
    __syncthreads();  // all warps have read the tiles before they are overwritten
  }
  float inverse[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    inverse[r] = total[r] > 0 ? 1.0f / total[r] : 0.0f;
    if (lane == 0 && query + r < end) {
      logsumexp[(batch * l.time + query + r) * l.heads + head] =
          total[r] > 0 ? largest[r] / kLog2e + logf(total[r]) : 0.0f;
    }
  }
  store_sums<kC>(out + (batch * l.time * l.heads + head) * l.d_head, l.heads * l.d_head, first, end, sums, inverse, p);
}

// delta (tokens, heads). One warp per head of a token.
template <class T>
__global__ void window_attention_backward_delta_kernel(float* delta, const T* out, const T* d_out, int64_t heads,
                                                       int64_t d_head) {
  const int64_t i = warp_in_grid();
  if (i >= heads) return;  // whole warps return
  const float product = warp_sum(attention_delta_part(out + i * d_head, d_out + i * d_head, d_head));
  if (lane_index() == 0) delta[i] = product;
}

// Values of every query and head that backward needs.
struct QueryValues {
  const float *logsumexp, *delta;  // (tokens, heads)
};

// The rows of dO of one head.
template <class T>
static __device__ Places<T> d_out_rows(const T* d_out, int64_t batch, int64_t head, const WindowProblem& p) {
  const AttentionLayout& l = p.layout;
  return {.sequence = d_out + (batch * l.time * l.heads + head) * l.d_head,
          .memory = nullptr,
          .ld = l.heads * l.d_head,
          .memory_ld = 0,
          .begin = 0,
          .end = l.time};
}

// score: S -> P including dropout, the weight that multiplied V. d_score: dP -> dS = P (dP - delta), the gradient of
// the score before scaling. Both are 0 where the query does not attend to the key. `row`: index of the head in the
// sequence's first token.
static __device__ void to_probability_and_d_score(float& score, float& d_score, int64_t query, int64_t key, int64_t row,
                                                  const QueryValues& of_queries, const WindowProblem& p) {
  const bool seen = p.sees(query, key);
  const int64_t at = row + query * p.layout.heads;
  score = seen ? ex2_approx((score * p.scale - of_queries.logsumexp[at]) * kLog2e) : 0.0f;
  const int64_t all = p.layout.time * p.layout.heads;
  const float factor = p.mask && seen ? p.mask.factor(row / all, row % all, query, key) : 1.0f;
  d_score = seen ? score * (d_score * factor - of_queries.delta[at]) : 0.0f;
  score *= factor;
}

// Computes dQ. One block per tile of queries of one head, as in forward.
template <class T, int kC>
__global__ void __launch_bounds__(kThreads, 1)
    window_attention_backward_queries_kernel(T* d_qkv, const T* d_out, const T* qkv, const T* memory,
                                             const T* positions, QueryValues of_queries, WindowProblem p) {
  float* query_tile = &shared_memory<float>();
  float *d_out_tile = query_tile + kRows * p.ld, *key_tile = d_out_tile + kRows * p.ld,
        *value_tile = key_tile + kRows * p.ld;
  float* by_distance = positions ? value_tile + kRows * p.ld : nullptr;
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads, first = int64_t{blockIdx.y} * kRows;
  const int64_t end = first + kRows < l.time ? first + kRows : l.time;
  const HeadRows<T> rows = head_rows(qkv, memory, batch, head, p);
  const int64_t query = first + warp_index() * kWarpRows;
  load_places<kRows>(query_tile, rows.queries, first, p);
  load_places<kRows>(d_out_tile, d_out_rows(d_out, batch, head, p), first, p);
  float sums[kWarpRows][kC] = {};
  for (int64_t j = p.window.first_seen(first); j < p.window.end_seen(end - 1); j += kRows) {
    load_places<kRows>(key_tile, rows.keys, j, p);
    load_places<kRows>(value_tile, rows.values, j, p);
    if (positions) load_places<kSpan>(by_distance, distances(positions, p), first - j - (kRows - 1), p);
    __syncthreads();
    float scores[kWarpRows], d_scores[kWarpRows];
    multiply_rows(scores, query_tile, key_tile, by_distance, p);
    multiply_rows(d_scores, d_out_tile, value_tile, nullptr, p);
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r)
      to_probability_and_d_score(scores[r], d_scores[r], query + r, j + lane_index(), batch * l.time * l.heads + head,
                                 of_queries, p);
    add_weighted_rows<kC>(sums, d_scores, key_tile, by_distance, p);
    __syncthreads();
  }
  float scales[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) scales[r] = p.scale;
  store_sums<kC>(d_qkv + batch * l.time * l.width() + head * l.d_head, l.width(), first, end, sums, scales, p);
}

// Computes dK and dV. One block per tile of the sequence's own keys of one key/value head. It loops over the query
// heads that share the key/value head and over their queries that attend to the tile. Each element of dK and dV has one
// owner: no atomics, a fixed order. Distances run in the opposite direction to those in multiply_rows, so the position
// part of S is computed by a separate product.
template <class T, int kC>
__global__ void __launch_bounds__(kThreads, 1)
    window_attention_backward_keys_kernel(T* d_qkv, const T* d_out, const T* qkv, const T* memory, const T* positions,
                                          QueryValues of_queries, WindowProblem p) {
  float* key_tile = &shared_memory<float>();
  float *value_tile = key_tile + kRows * p.ld, *query_tile = value_tile + kRows * p.ld,
        *d_out_tile = query_tile + kRows * p.ld;
  float* by_distance = positions ? d_out_tile + kRows * p.ld : nullptr;
  const AttentionLayout& l = p.layout;
  const int64_t kv_head = blockIdx.x % l.kv_heads, batch = blockIdx.x / l.kv_heads;
  const int64_t first = int64_t{blockIdx.y} * kRows, end = first + kRows < l.time ? first + kRows : l.time;
  const int64_t group = l.heads / l.kv_heads, last_query = end + p.window.size < l.time ? end + p.window.size : l.time;
  const int lane = lane_index(), warp_row = warp_index() * kWarpRows;
  const HeadRows<T> kept_rows = head_rows(qkv, memory, batch, kv_head * group, p);
  load_places<kRows>(key_tile, kept_rows.keys, first, p);
  load_places<kRows>(value_tile, kept_rows.values, first, p);
  float d_keys[kWarpRows][kC] = {}, d_values[kWarpRows][kC] = {};
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const HeadRows<T> rows = head_rows(qkv, memory, batch, head, p);
    for (int64_t i = first; i < last_query; i += kRows) {
      load_places<kRows>(query_tile, rows.queries, i, p);
      load_places<kRows>(d_out_tile, d_out_rows(d_out, batch, head, p), i, p);
      if (positions) load_places<kSpan>(by_distance, distances(positions, p), i - first - (kRows - 1), p);
      __syncthreads();
      float scores[kWarpRows], d_scores[kWarpRows];
      multiply_rows(scores, key_tile, query_tile, nullptr, p);
      multiply_rows(d_scores, value_tile, d_out_tile, nullptr, p);
      if (positions) {
#pragma unroll 1
        for (int c = 0; c < l.d_head; ++c) {
          const float query = query_tile[lane * p.ld + c];
#pragma unroll
          for (int r = 0; r < kWarpRows; ++r)
            scores[r] += query * by_distance[(lane - warp_row - r + kRows - 1) * p.ld + c];
        }
      }
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r)
        to_probability_and_d_score(scores[r], d_scores[r], i + lane, first + warp_row + r,
                                   batch * l.time * l.heads + head, of_queries, p);
      add_weighted_rows<kC>(d_values, scores, d_out_tile, nullptr, p);
      add_weighted_rows<kC>(d_keys, d_scores, query_tile, nullptr, p);
      __syncthreads();
    }
  }
  float ones[kWarpRows], scales[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) ones[r] = 1, scales[r] = p.scale;
  T* target = d_qkv + batch * l.time * l.width() + kv_head * l.d_head;
  store_sums<kC>(target + l.key_column(), l.width(), first, end, d_keys, scales, p);
  store_sums<kC>(target + l.value_column(), l.width(), first, end, d_values, ones, p);
}

// Computes the gradient of the position embeddings. One block per tile of distances and part of the heads of all
// sequences; it loops over the tiles of queries. A lane is a query, whose key at each of the warp's distances is one of
// the 63 that the tile meets. partial (gridDim.x, size, d_head): sums of the parts, in the order of their heads and
// queries.
template <class T, int kC>
__global__ void __launch_bounds__(kThreads, 1)
    window_attention_backward_positions_kernel(float* partial, const T* d_out, const T* qkv, const T* memory,
                                               const T* positions, QueryValues of_queries, int64_t heads,
                                               WindowProblem p) {
  float* query_tile = &shared_memory<float>();
  float *d_out_tile = query_tile + kRows * p.ld, *position_tile = d_out_tile + kRows * p.ld,
        *span = position_tile + kRows * p.ld;
  const AttentionLayout& l = p.layout;
  const int64_t first = int64_t{blockIdx.y} * kRows + 1;  // the first distance of the tile
  const int64_t end = first + kRows < p.window.size + 1 ? first + kRows : p.window.size + 1;
  const int64_t part = blockIdx.x, parts = gridDim.x;
  const int lane = lane_index(), warp_row = warp_index() * kWarpRows;
  load_places<kRows>(position_tile, distances(positions, p), first, p);
  float sums[kWarpRows][kC] = {};
  // Row of `span` with the key (or value) at the warp's distance r from the lane's query: the first position is i -
  // first - 31.
  const auto key_row = [&](int r) { return (lane - warp_row - r + kRows - 1) * p.ld; };
  for (int64_t all = part * heads / parts; all < (part + 1) * heads / parts; ++all) {
    const int64_t head = all % l.heads, batch = all / l.heads;
    const HeadRows<T> rows = head_rows(qkv, memory, batch, head, p);
    for (int64_t i = 0; i < l.time; i += kRows) {
      if (i + kRows - 1 - first < -p.window.filled)
        continue;  // the same for all threads: no query of the tile attends
                   // so far back
      load_places<kRows>(query_tile, rows.queries, i, p);
      load_places<kRows>(d_out_tile, d_out_rows(d_out, batch, head, p), i, p);
      load_places<kSpan>(span, rows.keys, i - first - (kRows - 1), p);
      __syncthreads();
      float scores[kWarpRows] = {}, d_scores[kWarpRows] = {};
#pragma unroll 1
      for (int c = 0; c < l.d_head; ++c) {
        const float query = query_tile[lane * p.ld + c];
#pragma unroll
        for (int r = 0; r < kWarpRows; ++r)
          scores[r] += query * (span[key_row(r) + c] + position_tile[(warp_row + r) * p.ld + c]);
      }
      __syncthreads();
      load_places<kSpan>(span, rows.values, i - first - (kRows - 1), p);
      __syncthreads();
#pragma unroll 1
      for (int c = 0; c < l.d_head; ++c) {
        const float gradient = d_out_tile[lane * p.ld + c];
#pragma unroll
        for (int r = 0; r < kWarpRows; ++r) d_scores[r] += gradient * span[key_row(r) + c];
      }
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) {
        to_probability_and_d_score(scores[r], d_scores[r], i + lane, i + lane - first - warp_row - r,
                                   batch * l.time * l.heads + head, of_queries, p);
      }
      add_weighted_rows<kC>(sums, d_scores, query_tile, nullptr, p);
      __syncthreads();
    }
  }
  float scales[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) scales[r] = p.scale;
  store_sums<kC>(partial + part * p.window.size * l.d_head, l.d_head, first - 1, end - 1, sums, scales, p);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Calls body(T{}, integral_constant<kC>): the maximum number of columns of a head per lane.
template <class Body>
static void for_head(DType dtype, const AttentionLayout& layout, Body body) {
  if (layout.d_head > 128)
    raise<DeviceError>("attention heads have {} dimensions; on CUDA at most 128 are supported", layout.d_head);
  for_type(dtype, [&]<class T>(T type) {
    if (layout.d_head <= 32)
      body(type, std::integral_constant<int, 1>{});
    else if (layout.d_head <= 64)
      body(type, std::integral_constant<int, 2>{});
    else
      body(type, std::integral_constant<int, 4>{});
  });
}

static WindowProblem make_problem(const AttentionLayout& layout, const AttentionWindow& window,
                                  const AttentionDropout& dropout) {
  return {.layout = layout,
          .window = window,
          .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head))),
          .ld = static_cast<int>(layout.d_head) | 1,
          .mask = AttentionMask::of(dropout, layout, window.size)};
}

static size_t shared_bytes(int rows, bool with_distances, const WindowProblem& p) {
  return static_cast<size_t>(rows + (with_distances ? kSpan : 0)) * static_cast<size_t>(p.ld) * sizeof(float);
}

static dim3 grid_of(int64_t heads, int64_t rows) {
  dim3 grid = blocks_for(heads, 1);
  grid.y = static_cast<unsigned>((rows + kRows - 1) / kRows);
  return grid;
}

template <class T>
static const T* data_of(ConstTensor x) {
  return x ? x.as<T>() : nullptr;
}

void window_attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, ConstTensor memory,
                              ConstTensor positions, const AttentionLayout& layout, const AttentionWindow& window,
                              const AttentionDropout& dropout) {
  const int64_t batch = qkv.dim(0) / layout.time;
  const WindowProblem p = make_problem(layout, window, dropout);
  for_head(qkv.dtype, layout, [&]<class T, int kC>(T, std::integral_constant<int, kC>) {
    launch(ctx, window_attention_forward_kernel<T, kC>, grid_of(batch * layout.heads, layout.time), kThreads,
           shared_bytes(3 * kRows, bool(positions), p), out.as<T>(), logsumexp.as<float>(), qkv.as<T>(),
           data_of<T>(memory), data_of<T>(positions), p);
  });
}

void window_attention_backward(Context& ctx, Tensor d_qkv, Tensor d_positions, ConstTensor d_out, ConstTensor qkv,
                               ConstTensor memory, ConstTensor positions, ConstTensor out, ConstTensor logsumexp,
                               const AttentionLayout& layout, const AttentionWindow& window,
                               const AttentionDropout& dropout) {
  const int64_t tokens = qkv.dim(0), batch = tokens / layout.time, heads = batch * layout.heads;
  const WindowProblem p = make_problem(layout, window, dropout);
  const int64_t elements = window.size * layout.d_head;
  const int parts = static_cast<int>(std::min<int64_t>(heads, 64));
  ScratchScope scratch(ctx);
  const Tensor delta = scratch.allocate(Shape{tokens, layout.heads}, DType::f32);
  const Tensor partial = positions ? scratch.allocate(Shape{std::max(parts, 1), elements}, DType::f32) : Tensor{};
  for_head(qkv.dtype, layout, [&]<class T, int kC>(T, std::integral_constant<int, kC>) {
    const T *gradient = d_out.as<T>(), *rows = qkv.as<T>(), *before = data_of<T>(memory), *by = data_of<T>(positions);
    const QueryValues of_queries{logsumexp.as<float>(), delta.as<float>()};
    launch(ctx, window_attention_backward_delta_kernel<T>, blocks_for(tokens * layout.heads, 8), 8 * kWarp, 0,
           delta.as<float>(), out.as<T>(), gradient, tokens * layout.heads, layout.d_head);
    launch(ctx, window_attention_backward_queries_kernel<T, kC>, grid_of(heads, layout.time), kThreads,
           shared_bytes(4 * kRows, by != nullptr, p), d_qkv.as<T>(), gradient, rows, before, by, of_queries, p);
    launch(ctx, window_attention_backward_keys_kernel<T, kC>, grid_of(batch * layout.kv_heads, layout.time), kThreads,
           shared_bytes(4 * kRows, by != nullptr, p), d_qkv.as<T>(), gradient, rows, before, by, of_queries, p);
    if (!by || parts == 0) return;
    launch(ctx, window_attention_backward_positions_kernel<T, kC>, grid_of(parts, window.size), kThreads,
           shared_bytes(3 * kRows, true, p), partial.as<float>(), gradient, rows, before, by, of_queries, heads, p);
    add_partials(ctx, d_positions.as<float>(), partial.as<float>(), elements, elements, parts);
  });
}

}  // namespace moe::cuda
