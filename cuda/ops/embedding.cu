#include "core/ops/embedding.h"

#include <type_traits>

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

// begins (tokens), starts (sequences); each may be null
static __global__ void position_ids_kernel(int32_t* ids, int64_t tokens, int64_t time, const int32_t* begins,
                                           const int32_t* starts) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  ids[t] = static_cast<int32_t>(t % time) - (begins ? begins[t] : 0) + (starts ? starts[t / time] : 0);
}

// The gradient of the table is a sum over the tokens of each id, in the order of `order`: the tokens sorted by id,
// equal ids in their order. An id may have a large share of all tokens, so the sorted tokens are cut into parts of
// kPartRows, and a warp adds up a part. Sums of ids that lie within one part are added to the table. Those of an id
// that goes on into further parts are stored per part: partial (parts, 2, d) has the sum of the id with which the part
// begins, if it began before, and that of the id with which it ends, if it began within. embedding_join_kernel adds
// these up.
static constexpr int kPartRows = 64;

// A part of the sorted tokens, [begin, end).
struct Part {
  const int32_t *ids, *order;
  int64_t begin, end, tokens;

  __device__ Part(const int32_t* token_ids, const int32_t* sorted, int64_t part, int64_t count)
      : ids(token_ids), order(sorted), begin(part * kPartRows), end(min(begin + kPartRows, count)), tokens(count) {}
  __device__ int32_t id(int64_t place) const { return place < 0 || place >= tokens ? -1 : ids[order[place]]; }
};

// Adds to, or stores, N columns of a row of f32.
template <int N>
__device__ inline void put_row(float* row, Floats<N> sum, bool adds) {
  if (adds) {
    const Floats<N> before = load_vector<N>(row);
#pragma unroll
    for (int i = 0; i < N; ++i) sum.v[i] += before.v[i];
  }
  store_vector(row, sum);
}

// One warp per part (x) and 32 N columns (y).
template <class T, int N>
__global__ void embedding_parts_kernel(float* d_table, float* partial, const T* d_y, const int32_t* ids,
                                       const int32_t* order, int64_t tokens, int64_t d) {
  constexpr int kAhead = 4;  // rows that are loaded before they are added
  const int64_t index = warp_in_grid();
  const Part part(ids, order, index, tokens);
  const int64_t column = (int64_t{blockIdx.y} * kWarp + lane_index()) * N;
  if (part.begin >= tokens || column >= d) return;
  int32_t id = part.id(part.begin);
  bool began_before = id == part.id(part.begin - 1);
  Floats<N> sum{};
  for (int64_t first = part.begin; first < part.end; first += kAhead) {
    Floats<N> rows[kAhead]{};
    int32_t next[kAhead]{};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= part.end) continue;
      rows[i] = load_vector<N>(d_y + int64_t{order[first + i]} * d + column);
      next[i] = part.id(first + i + 1);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= part.end) continue;
#pragma unroll
      for (int n = 0; n < N; ++n) sum.v[n] += rows[i].v[n];
      const bool ends = next[i] != id;
      if (!ends && first + i + 1 < part.end) continue;
      if (began_before || !ends)
        put_row(partial + (2 * index + (began_before ? 0 : 1)) * d + column, sum, false);
      else
        put_row(d_table + id * d + column, sum, true);
      sum = {};
      id = next[i];
      began_before = false;
    }
  }
}

// One warp per part and 32 N columns, as above: that of the part in which an id begins that goes on into further parts
// adds up the sums of all these parts, in their order.
template <int N>
__global__ void embedding_join_kernel(float* d_table, const float* partial, const int32_t* ids, const int32_t* order,
                                      int64_t tokens, int64_t d) {
  const int64_t index = warp_in_grid();
  const Part part(ids, order, index, tokens);
  if (part.begin >= tokens) return;
  const int32_t id = part.id(part.end - 1);
  if (part.id(part.end) != id || part.id(part.begin - 1) == id) return;  // ends here, or began before
  // The parts after this one that begin with the id, 32 at a time.
  int64_t parts = 1;
  for (bool all = true; all; parts += kWarp) {
    const int64_t place = (index + parts + lane_index()) * kPartRows;
    const int begins = part.id(place) == id;
    const unsigned same = __match_any_sync(kAllLanes, begins), having = begins ? same : ~same;
    all = having == kAllLanes;
    if (!all) parts += __popc(having) - kWarp;
  }
  const int64_t column = (int64_t{blockIdx.y} * kWarp + lane_index()) * N;
  if (column >= d) return;
  Floats<N> sum = load_vector<N>(partial + (2 * index + 1) * d + column);
#pragma unroll 4
  for (int64_t i = 1; i < parts; ++i) {
    const Floats<N> next = load_vector<N>(partial + 2 * (index + i) * d + column);
#pragma unroll
    for (int n = 0; n < N; ++n) sum.v[n] += next.v[n];
  }
  put_row(d_table + id * d + column, sum, true);
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

void position_ids(Context& ctx, Tensor ids, int64_t time, ConstTensor begins, ConstTensor starts) {
  const auto data = [](ConstTensor x) { return x ? x.as<int32_t>() : nullptr; };
  launch(ctx, position_ids_kernel, blocks_for(ids.size(), kThreads), kThreads, 0, ids.as<int32_t>(), ids.size(), time,
         data(begins), data(starts));
}

void embedding_backward(Context& ctx, Tensor d_table, ConstTensor d_y, ConstTensor ids) {
  const int64_t tokens = ids.dim(0), d = d_table.dim(1);
  ScratchScope scratch(ctx);
  const int32_t* order = sort_by_key(ctx, scratch, ids, d_table.dim(0));
  const int64_t parts = (tokens + kPartRows - 1) / kPartRows;
  auto* partial = scratch.allocate(Shape{parts, 2, d}, DType::f32).as<float>();
  for_type(d_y.dtype, [&]<class T>(T) {
    const auto run = [&]<int N>(std::integral_constant<int, N>) {
      dim3 grid = blocks_for(parts, kThreads / kWarp);
      grid.y = static_cast<unsigned>((d + kWarp * N - 1) / (kWarp * N));
      launch(ctx, embedding_parts_kernel<T, N>, grid, kThreads, 0, d_table.as<float>(), partial, d_y.as<T>(),
             ids.as<int32_t>(), order, tokens, d);
      launch(ctx, embedding_join_kernel<N>, grid, kThreads, 0, d_table.as<float>(), partial, ids.as<int32_t>(), order,
             tokens, d);
    };
    for_width(d, run, d_table.as<float>(), partial, d_y.as<T>());
  });
}

}  // namespace moe::cuda
