#include <type_traits>

#include "cuda/ops/attention.cuh"
#include "cuda/ops/attention_sm90.h"

namespace moe::cuda {

// K and V are loaded in two stages. In f32 they share one tile in turns, because not every device has room for more.
template <class T, int kD>
struct ForwardShared {
  static constexpr bool kTurns = sizeof(T) == 4;
  using Tile = typename HeadTile<T, kD>::Tile;
  Tile q, coming[kTurns ? 1 : 4];
  float staging[kWarps][staging_floats<T>(kRows)];
  __device__ Tile& k(int j) { return coming[kTurns ? 0 : j % 2]; }
  __device__ Tile& v(int j) { return coming[kTurns ? 0 : 2 + j % 2]; }
};

// One block per tile of queries of one head, the tiles with most keys first. Softmax runs along the keys with a running
// maximum. Each row belongs to four lanes of one warp, so sums have a fixed order.
template <class T, int kD, bool kCausal, bool kDrops>
__global__ void __launch_bounds__(kThreads, 2)
    attention_forward_kernel(T* out, float* logsumexp, const T* qkv, AttentionProblem p) {
  using S = HeadTile<T, kD>;
  auto& shared = shared_memory<ForwardShared<T, kD>>();
  const AttentionLayout& l = p.layout;
  const int64_t head = blockIdx.x % l.heads, batch = blockIdx.x / l.heads;
  const int tile = static_cast<int>(gridDim.y - 1 - blockIdx.y), first = tile * kRows;
  const int length = static_cast<int>(l.length(batch));
  const int last = kCausal ? tile : (length - 1) / kRows;  // the last tile of keys, the only one that is partly masked
  const int time = static_cast<int>(l.time), lane = lane_index(), warp_row = warp_index() * 16;
  const int64_t token = batch * l.time;
  const int begin = static_cast<int>(l.document_begin(token + first)) / kRows;  // the first tile of keys
  int own_begin[2];  // the first key that each of the thread's two queries attends to
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int query = min(first + warp_row + accumulator_row(lane, 2 * h), time - 1);
    own_begin[h] = static_cast<int>(l.document_begin(token + query));
  }
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
  if (!kTurns) load_both(begin);
  const float scale = p.scale * kLog2e;  // scores are in powers of two
  float sums[kD / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  for (int j = begin; j <= last; ++j) {
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
            (j < last || column < (kCausal ? warp_row + accumulator_row(lane, e) + 1 : length - j * kRows)) &&
            (!kCausal || column >= own_begin[e / 2] - j * kRows);
        score = visible ? score * scale : -INFINITY;
        next[e / 2] = fmaxf(next[e / 2], score);
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      next[h] = warp_max<4>(next[h]);
      // A tile before a query's document has none of its keys.
      const float base = next[h] == -INFINITY ? 0.0f : next[h];
      const float shrink = ex2_approx(largest[h] - base);
      largest[h] = next[h];
      total[h] *= shrink;
#pragma unroll
      for (int b = 0; b < kD / 8; ++b) sums[b][2 * h] *= shrink, sums[b][2 * h + 1] *= shrink;
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[0][b][e] = ex2_approx(scores[0][b][e] - (largest[e / 2] == -INFINITY ? 0.0f : largest[e / 2]));
        total[e / 2] += scores[0][b][e];
      }
    }
    if (kDrops) {  // dropout applies to the weights that multiply V, not to the sum that they are divided by
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
        for (int e = 0; e < 4; ++e) scores[0][b][e] *= is_kept(kept, b, e) ? p.mask.keep : 0.0f;
      }
    }
    if (kTurns) wait();
    warp_multiply_accumulator<S::kStride>(sums, scores[0], shared.v(j), shared.staging[warp_index()]);
    __syncthreads();  // all warps have read the tile before it is overwritten
  }

  const int64_t row = batch * l.time + first + warp_row;
  float inverse[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] = warp_sum<4>(total[h]);
    inverse[h] = 1.0f / total[h];
    const int query = accumulator_row(lane, 2 * h);
    if (lane % 4 == 0 && first + warp_row + query < time) {
      logsumexp[(row + query) * l.heads + head] = largest[h] / kLog2e + logf(total[h]);
    }
  }
  store_rows<kD>(out + (row * l.heads + head) * l.d_head, shared.q + warp_row * S::kStride, sums, inverse,
                 static_cast<int>(l.heads * l.d_head), time - first - warp_row, p);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

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

}  // namespace moe::cuda
