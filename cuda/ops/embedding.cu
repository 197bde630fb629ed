#include "core/ops/embedding.h"

#include "cuda/kernel/sort.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per N columns of a token.
template <class T, int N>
__global__ void embedding_forward_kernel(T* y, const T* table, const int32_t* ids, int64_t tokens, int64_t d) {
  const int64_t at = thread_in_grid() * N, token = at / d;
  if (token >= tokens) return;
  store_vector(y + at, load_vector<N>(table + ids[token] * d + at % d));
}

static __global__ void position_ids_kernel(int32_t* ids, int64_t tokens, int64_t time, const int32_t* begins) {
  const int64_t t = thread_in_grid();
  if (t < tokens) ids[t] = static_cast<int32_t>(t % time) - (begins == nullptr ? 0 : begins[t]);
}

// `order` holds the tokens sorted by id, equal ids in their order. One warp per position in it: the warp at the first
// token of an id adds up all rows of that id, in order; the other warps do nothing. So each table row has one writer.
template <class T>
__global__ void embedding_backward_kernel(float* d_table, const T* d_y, const int32_t* ids, const int32_t* order,
                                          int64_t tokens, int64_t d) {
  const int64_t place = warp_in_grid();
  if (place >= tokens) return;
  const int32_t id = ids[order[place]];
  if (place > 0 && ids[order[place - 1]] == id) return;
  int64_t end = place + 1;
  while (end < tokens && ids[order[end]] == id) ++end;
  for (int64_t i = lane_index(); i < d; i += kWarp) {
    float sum = d_table[id * d + i];
    for (int64_t p = place; p < end; ++p) sum += load(d_y + order[p] * d + i);
    d_table[id * d + i] = sum;
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void embedding_forward(Context& ctx, Tensor y, ConstTensor table, ConstTensor ids) {
  const int64_t tokens = ids.dim(0), d = table.dim(1);
  for_type(table.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = table.as<T>();
    const bool vectors = in_vectors<T>(d, out, in);
    const auto kernel = vectors ? embedding_forward_kernel<T, kPerVector<T>> : embedding_forward_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(tokens * d, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, out, in,
           ids.as<int32_t>(), tokens, d);
  });
}

void position_ids(Context& ctx, Tensor ids, int64_t time, ConstTensor begins) {
  launch(ctx, position_ids_kernel, blocks_for(ids.size(), kThreads), kThreads, 0, ids.as<int32_t>(), ids.size(), time,
         begins ? begins.as<int32_t>() : nullptr);
}

void embedding_backward(Context& ctx, Tensor d_table, ConstTensor d_y, ConstTensor ids) {
  const int64_t tokens = ids.dim(0), d = d_table.dim(1);
  ScratchScope scratch(ctx);
  const int32_t* order = sort_by_key(ctx, scratch, ids, d_table.dim(0));
  for_type(d_y.dtype, [&]<class T>(T) {
    launch(ctx, embedding_backward_kernel<T>, blocks_for(tokens, kThreads / kWarp), kThreads, 0, d_table.as<float>(),
           d_y.as<T>(), ids.as<int32_t>(), order, tokens, d);
  });
}

}  // namespace moe::cuda
