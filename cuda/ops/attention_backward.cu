#include <type_traits>

#include "cuda/ops/attention.cuh"
#include "cuda/ops/attention_delta.cuh"
#include "cuda/ops/attention_sm90.h"

namespace moe::cuda {

// delta (tokens, heads). One warp per head of a token.
template <class T>
__global__ void attention_backward_delta_kernel(float* delta, const T* out, const T* d_out, int64_t heads,
                                                int64_t d_head) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (i >= heads) return;
  const float product = warp_sum(attention_delta_part(out + i * d_head, d_out + i * d_head, d_head));
  if (lane_index() == 0) delta[i] = product;
}

// Two tiles that stay, and two that are streamed.
template <class T, int kD, int kStages>
struct KeysShared {
  using Tile = typename HeadTile<T, kD>::Tile;
  Tile keys, values;
  struct {
    Tile queries, d_out;
  } tiles[kStages];
  float logsumexp[kStages][kRows], delta[kStages][kRows];  // of the queries
  float staging[kWarps][staging_floats<T>(kRows)];
};
template <class T, int kD, int kStages>
struct QueriesShared {
  using Tile = typename HeadTile<T, kD>::Tile;
  Tile queries, d_out;
  struct {
    Tile keys, values;
  } tiles[kStages];
  float staging[kWarps][staging_floats<T>(kRows)];
};

// Computes dK and dV. One block per tile of keys of one key/value head. It loops over the query heads that share the
// key/value head and their tiles of queries (with kCausal only from its own tile on). Everything is transposed, (keys,
// queries), so that P^T and dS^T are left operands that never leave the registers. Each element of dK and dV has one
// owner: no atomics, a fixed order. kKeys, kValues: whether dK, dV are computed.
template <class T, int kD, int kStages, bool kCausal, bool kDrops, bool kKeys, bool kValues>
__global__ void __launch_bounds__(kThreads, 2)
    attention_backward_keys_kernel(T* d_qkv, const T* d_out, const T* qkv, const float* logsumexp, const float* delta,
                                   AttentionProblem p) {
  using S = HeadTile<T, kD>;
  auto& shared = shared_memory<KeysShared<T, kD, kStages>>();
  const AttentionLayout& l = p.layout;
  const int64_t kv_head = blockIdx.x % l.kv_heads, batch = blockIdx.x / l.kv_heads, token = batch * l.time;
  const int tile = static_cast<int>(blockIdx.y), first = tile * kRows;
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  // Tiles of queries. The last key has the last end.
  const int end = static_cast<int>(l.document_end(token + min(first + kRows, time) - 1));
  const int start = kCausal ? first : 0;
  const int first_end = static_cast<int>(l.document_end(token + first));
  const int group = static_cast<int>(l.heads / l.kv_heads), length = static_cast<int>(l.length(batch));
  const T* sequence = qkv + token * l.width();
  const int64_t key_column = l.key_column() + kv_head * l.d_head, value_column = l.value_column() + kv_head * l.d_head;
  const auto load = [&](int stage, int head, int begin) {
    const int rows = time - begin;
    load_rows<kD>(shared.tiles[stage].queries, sequence + begin * l.width() + head * l.d_head, p.width, rows, p);
    load_rows<kD>(shared.tiles[stage].d_out, d_out + ((token + begin) * l.heads + head) * l.d_head,
                  static_cast<int>(l.heads * l.d_head), rows, p);
    cp_async_commit_group();
    if (threadIdx.x < kRows) {
      const int i = static_cast<int>(threadIdx.x);
      const int64_t at = (token + begin + i) * l.heads + head;
      // Past the end LSE is infinite, so that P is 2^-infinity = 0.
      shared.logsumexp[stage][i] = i < rows ? logsumexp[at] * kLog2e : INFINITY;
      shared.delta[stage][i] = i < rows ? delta[at] : 0.0f;
    }
  };

  load_rows<kD>(shared.keys, sequence + first * l.width() + key_column, p.width, time - first, p);
  load_rows<kD>(shared.values, sequence + first * l.width() + value_column, p.width, time - first, p);
  int head = static_cast<int>(kv_head) * group, begin = start;
  const int last_head = head + group - 1;
  load(0, head, begin);
  const float scale = p.scale * kLog2e;
  float d_keys[kD / 8][4] = {}, d_values[kD / 8][4] = {};
  for (int stage = 0; head <= last_head; stage = (stage + 1) % kStages) {
    cp_async_wait_group<0>();
    __syncthreads();
    const bool ends = begin + kRows >= end;
    const int next_head = head + ends, next_begin = ends ? start : begin + kRows;
    if (kStages == 2 && next_head <= last_head) load(stage ^ 1, next_head, next_begin);
    const T *query_tile = shared.tiles[stage].queries, *d_out_tile = shared.tiles[stage].d_out;
    const uint32_t kept = kDrops ? kept_of_keys(p, batch, head, begin, first + warp_row) : 0;

    float scores[1][kBlocks][4] = {}, d_scores[1][kBlocks][4] = {};
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(scores, shared.keys + warp_row * S::kStride,
                                                                            query_tile);
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(
        d_scores, shared.values + warp_row * S::kStride, d_out_tile);
    // Most tiles hide nothing: neither the diagonal nor the end of a document is in them.
    if (kCausal && (begin == first || begin + kRows > first_end)) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int key = first + warp_row + accumulator_row(lane, 2 * h);
        const int own_end = static_cast<int>(l.document_end(token + min(key, time - 1)));
#pragma unroll
        for (int i = 0; i < 2 * kBlocks; ++i) {
          const int query = begin + 8 * (i / 2) + accumulator_column(lane, 2 * h + i % 2);
          if (key > query || query >= own_end) scores[0][i / 2][2 * h + i % 2] = -INFINITY;
        }
      }
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int query = 8 * b + accumulator_column(lane, e), key = warp_row + accumulator_row(lane, e);
        float& probability = scores[0][b][e];
        const bool hidden = !kCausal && first + key >= length;
        probability = ex2_approx(hidden ? -INFINITY : probability * scale - shared.logsumexp[stage][query]);
        if (kDrops) {
          const float factor = is_kept(kept, b, e) ? p.mask.keep : 0.0f;
          d_scores[0][b][e] = probability * (d_scores[0][b][e] * factor - shared.delta[stage][query]);
          probability *= factor;
        } else {
          d_scores[0][b][e] = probability * (d_scores[0][b][e] - shared.delta[stage][query]);
        }
      }
    }
    if (kValues) warp_multiply_accumulator<S::kStride>(d_values, scores[0], d_out_tile, shared.staging[warp_index()]);
    if (kKeys) warp_multiply_accumulator<S::kStride>(d_keys, d_scores[0], query_tile, shared.staging[warp_index()]);
    __syncthreads();
    if (kStages == 1 && next_head <= last_head) load(0, next_head, next_begin);
    head = next_head;
    begin = next_begin;
  }

  T* target = d_qkv + (token + first + warp_row) * l.width();
  const float one[2] = {1, 1}, scales[2] = {p.scale, p.scale};
  if (kKeys) {
    store_rows<kD>(target + key_column, shared.keys + warp_row * S::kStride, d_keys, scales, p.width,
                   time - first - warp_row, p);
  }
  if (kValues) {
    store_rows<kD>(target + value_column, shared.values + warp_row * S::kStride, d_values, one, p.width,
                   time - first - warp_row, p);
  }
}

// Computes dQ. One block per tile of queries of one head; it loops over the tiles of keys that the queries attend to.
template <class T, int kD, int kStages, bool kCausal, bool kDrops>
__global__ void __launch_bounds__(kThreads, 2)
    attention_backward_queries_kernel(T* d_qkv, const T* d_out, const T* qkv, const float* logsumexp,
                                      const float* delta, AttentionProblem p) {
  using S = HeadTile<T, kD>;
  auto& shared = shared_memory<QueriesShared<T, kD, kStages>>();
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads, token = batch * l.time;
  const int tile = static_cast<int>(gridDim.y - 1 - blockIdx.y), first = tile * kRows;
  const int length = static_cast<int>(l.length(batch));
  const int last = kCausal ? tile : (length - 1) / kRows;  // the last tile of keys, the only one that is partly masked
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  const int begin = static_cast<int>(l.document_begin(token + first)) / kRows;  // the first tile of keys
  const T* sequence = qkv + token * l.width();
  const T* keys = sequence + l.key_column() + p.key_head(head) * l.d_head;
  const T* values = sequence + l.value_column() + p.key_head(head) * l.d_head;
  const auto load = [&](int j) {
    const int64_t row = int64_t{j} * kRows;
    load_rows<kD>(shared.tiles[j % kStages].keys, keys + row * l.width(), p.width, time - j * kRows, p);
    load_rows<kD>(shared.tiles[j % kStages].values, values + row * l.width(), p.width, time - j * kRows, p);
    cp_async_commit_group();
  };

  load_rows<kD>(shared.queries, sequence + first * l.width() + head * l.d_head, p.width, time - first, p);
  load_rows<kD>(shared.d_out, d_out + ((token + first) * l.heads + head) * l.d_head,
                static_cast<int>(l.heads * l.d_head), time - first, p);
  load(begin);
  float lse[2], query_delta[2];
  int own_begin[2];  // the first key that each of the thread's two queries attends to
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = warp_row + accumulator_row(lane, 2 * h);
    const int64_t at = (token + first + row) * l.heads + head;
    lse[h] = first + row < time ? logsumexp[at] * kLog2e : INFINITY;
    query_delta[h] = first + row < time ? delta[at] : 0.0f;
    own_begin[h] = static_cast<int>(l.document_begin(token + min(first + row, time - 1)));
  }
  const float scale = p.scale * kLog2e;
  float d_queries[kD / 8][4] = {};
  for (int j = begin; j <= last; ++j) {
    cp_async_wait_group<0>();
    __syncthreads();
    if (kStages == 2 && j < last) load(j + 1);
    const T *key_tile = shared.tiles[j % kStages].keys, *value_tile = shared.tiles[j % kStages].values;
    const uint32_t kept = kDrops ? kept_of_queries(p, batch, head, first + warp_row, int64_t{j} * kRows) : 0;

    float scores[1][kBlocks][4] = {}, d_scores[1][kBlocks][4] = {};
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(
        scores, shared.queries + warp_row * S::kStride, key_tile);
    warp_multiply<Operand::rows, Operand::rows, kD, S::kStride, S::kStride>(
        d_scores, shared.d_out + warp_row * S::kStride, value_tile);
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = 8 * b + accumulator_column(lane, e);
        const bool visible =
            (j < last || column < (kCausal ? warp_row + accumulator_row(lane, e) + 1 : length - j * kRows)) &&
            (!kCausal || column >= own_begin[e / 2] - j * kRows);
        const float probability = visible ? ex2_approx(scores[0][b][e] * scale - lse[e / 2]) : 0.0f;
        if (kDrops) d_scores[0][b][e] *= is_kept(kept, b, e) ? p.mask.keep : 0.0f;
        d_scores[0][b][e] = probability * (d_scores[0][b][e] - query_delta[e / 2]);
      }
    }
    warp_multiply_accumulator<S::kStride>(d_queries, d_scores[0], key_tile, shared.staging[warp_index()]);
    __syncthreads();
    if (kStages == 1 && j < last) load(j + 1);
  }
  const float scales[2] = {p.scale, p.scale};
  store_rows<kD>(d_qkv + (token + first + warp_row) * l.width() + head * l.d_head,
                 shared.queries + warp_row * S::kStride, d_queries, scales, p.width, time - first - warp_row, p);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static bool has_shared(const Context& ctx, size_t bytes) {
  return ctx.planning || bytes <= ctx.queue->info().shared_bytes_per_block;
}

// Consumer GPUs have only 99 KiB.
static void check_shared(const Context& ctx, size_t bytes, const AttentionLayout& layout) {
  if (has_shared(ctx, bytes)) return;
  raise<DeviceError>(
      "gradients of attention heads of {} in f32 need {} KiB of shared memory, {} has {}; use precision: bf16 or "
      "heads of at most 64",
      layout.d_head, bytes >> 10, ctx.queue->info().name, ctx.queue->info().shared_bytes_per_block >> 10);
}

void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout, const AttentionDropout& dropout) {
  const int64_t tokens = qkv.dim(0), batch = tokens / layout.time, heads = tokens * layout.heads;
  ScratchScope scratch(ctx);
  // The larger size of the two variants, because planning does not determine which one runs.
  const int64_t kept =
      layout.time < sm90::kShortest ? heads : 2 * batch * layout.heads * sm90::padded_time(layout.time);
  float* delta = scratch.allocate(Shape{kept}, DType::f32).as<float>();
  if (!dropout && sm90::takes_attention(ctx, qkv.dtype, layout, {d_qkv.data, d_out.data, qkv.data, out.data}))
    return sm90::attention_backward(ctx, d_qkv, d_out, qkv, out, logsumexp, delta, layout);
  for_head(
      qkv.dtype, layout, bool(dropout),
      [&]<class T, int kD, bool kCausal, bool kDrops>(T, std::integral_constant<int, kD>, std::bool_constant<kCausal>,
                                                      std::bool_constant<kDrops>) {
        // Wide tiles use one stage; a second block on the multiprocessor hides the latency where it fits.
        constexpr int kStages = sizeof(T) == 2 && kD == 64 ? 2 : 1;
        constexpr size_t kBytes = sizeof(KeysShared<T, kD, kStages>);
        check_shared(ctx, kBytes, layout);
        const AttentionProblem problem = make_problem<T>(layout, dropout, d_qkv.as<T>(), d_out.as<T>(), qkv.as<T>());
        launch(ctx, attention_backward_delta_kernel<T>, blocks_for(heads, 8), 8 * kWarp, 0, delta, out.as<T>(),
               d_out.as<T>(), heads, layout.d_head);
        const auto of_keys = [&](auto kernel, size_t bytes) {
          launch(ctx, kernel, grid_of(batch * layout.kv_heads, layout), kThreads, bytes, d_qkv.as<T>(), d_out.as<T>(),
                 qkv.as<T>(), logsumexp.as<float>(), delta, problem);
        };
        // For wide heads one kernel for both dK and dV would spill registers, unless it is causal and without dropout.
        constexpr bool kWide = kD > 64, kBoth = !kWide || (kCausal && !kDrops);
        constexpr int kStagesOfBoth = sizeof(T) == 2 ? 2 : 1;
        constexpr size_t kBytesOfBoth = sizeof(KeysShared<T, kD, kStagesOfBoth>);
        if (kBoth && has_shared(ctx, kBytesOfBoth)) {
          if constexpr (kBoth) {
            of_keys(attention_backward_keys_kernel<T, kD, kStagesOfBoth, kCausal, kDrops, true, true>, kBytesOfBoth);
          }
        } else if constexpr (kWide) {
          of_keys(attention_backward_keys_kernel<T, kD, kStages, kCausal, kDrops, true, false>, kBytes);
          of_keys(attention_backward_keys_kernel<T, kD, kStages, kCausal, kDrops, false, true>, kBytes);
        }
        launch(ctx, attention_backward_queries_kernel<T, kD, kStages, kCausal, kDrops>,
               grid_of(batch * layout.heads, layout), kThreads, sizeof(QueriesShared<T, kD, kStages>), d_qkv.as<T>(),
               d_out.as<T>(), qkv.as<T>(), logsumexp.as<float>(), delta, problem);
      });
}

}  // namespace moe::cuda
