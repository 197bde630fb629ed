#include "core/ops/cached_attention.h"

#include <cmath>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;
static constexpr int kWarps = kThreads / kWarp;

// One thread per element that is stored.
template <class T>
__global__ void store_keys_kernel(T* cache, const T* qkv, const int32_t* rows, const int32_t* starts,
                                  AttentionLayout layout, int64_t positions, int64_t elements) {
  const int64_t i = thread_in_grid();
  if (i >= elements) return;
  const int64_t width = layout.memory_width(), column = i % width, token = i / width;
  const int64_t sequence = token / layout.time, place = starts[sequence] + token % layout.time;
  cache[(rows[sequence] * positions + place) * width + column] =
      qkv[token * layout.width() + layout.key_column() + column];
}

// One block per query and head. A warp walks over every fourth key, one key at a time with d_head spread over its
// lanes, and keeps the largest score, the sum and the weighted values so far; the block then adds up the warps' parts
// in their order, so the result is deterministic. Shared memory: the query, and the weighted values, largest score and
// sum of each warp.
template <class T>
__global__ void cached_attention_kernel(T* out, const T* cache, const T* qkv, const int32_t* rows,
                                        const int32_t* starts, AttentionLayout layout, int64_t positions, float scale) {
  const int64_t token = blockIdx.x / layout.heads, head = blockIdx.x % layout.heads;
  const int64_t sequence = token / layout.time, last = starts[sequence] + token % layout.time;
  const int64_t d = layout.d_head, width = layout.memory_width();
  const T* keys = cache + rows[sequence] * positions * width + head / (layout.heads / layout.kv_heads) * d;
  const T* values = keys + layout.kv_heads * d;
  float* query = &shared_memory<float>();
  float* sums = query + d;  // (kWarps, d)
  float* largest = sums + kWarps * d;
  float* totals = largest + kWarps;
  for (int64_t j = threadIdx.x; j < d; j += kThreads)
    query[j] = load(qkv + token * layout.width() + head * d + j) * scale;
  float* own = sums + warp_index() * d;
  for (int64_t j = lane_index(); j < d; j += kWarp) own[j] = 0;
  __syncthreads();
  float top = -INFINITY, total = 0;
  for (int64_t key = warp_index(); key <= last; key += kWarps) {
    float score = 0;
    for (int64_t j = lane_index(); j < d; j += kWarp) score += query[j] * load(keys + key * width + j);
    score = warp_sum(score);
    const float next = fmaxf(top, score), kept = expf(top - next), weight = expf(score - next);
    total = total * kept + weight;
    for (int64_t j = lane_index(); j < d; j += kWarp) own[j] = own[j] * kept + weight * load(values + key * width + j);
    top = next;
  }
  if (lane_index() == 0) {
    largest[warp_index()] = top;
    totals[warp_index()] = total;
  }
  __syncthreads();
  float whole = largest[0];  // the first warp has a key
  for (int w = 1; w < kWarps; ++w) whole = fmaxf(whole, largest[w]);
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += totals[w] * expf(largest[w] - whole);
  for (int64_t j = threadIdx.x; j < d; j += kThreads) {
    float y = 0;
    for (int w = 0; w < kWarps; ++w) y += sums[w * d + j] * expf(largest[w] - whole);
    store(out + (token * layout.heads + head) * d + j, y / sum);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void cached_attention_forward(Context& ctx, Tensor out, Tensor cache, ConstTensor qkv, ConstTensor rows,
                              ConstTensor starts, const AttentionLayout& layout) {
  const int64_t tokens = qkv.dim(0), elements = tokens * layout.memory_width();
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.d_head)));
  const size_t shared = static_cast<size_t>((kWarps + 1) * layout.d_head + 2 * kWarps) * sizeof(float);
  for_type(qkv.dtype, [&]<class T>(T) {
    launch(ctx, store_keys_kernel<T>, blocks_for(elements, kThreads), kThreads, 0, cache.as<T>(), qkv.as<T>(),
           rows.as<int32_t>(), starts.as<int32_t>(), layout, cache.dim(1), elements);
    launch(ctx, cached_attention_kernel<T>, tokens * layout.heads, kThreads, shared, out.as<T>(), cache.as<T>(),
           qkv.as<T>(), rows.as<int32_t>(), starts.as<int32_t>(), layout, cache.dim(1), scale);
  });
}

}  // namespace moe::cuda
