#include "core/ops/dispatch_rows.h"

#include "core/ops/copy_of_token.h"
#include "cuda/kernel/sort.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// In all kernels here each element has one writer. One warp per row, N columns per lane at a time. Rows that belong to
// no assignment (source -1) become zero.

// rows[r] = x[source[r] / k]
template <class T, int N>
__global__ void permute_forward_kernel(T* rows, const T* x, const int32_t* source, int64_t count, int64_t d,
                                       int64_t k) {
  const int64_t row = warp_in_grid();
  if (row >= count) return;
  const int32_t from = source[row];
  for (int64_t i = lane_index() * N; i < d; i += kWarp * N) {
    store_vector(rows + row * d + i, from < 0 ? Floats<N>{} : load_vector<N>(x + from / k * d + i));
  }
}

// One thread per slot.
static __global__ void place_assignments_kernel(int32_t* placed, const int32_t* indices, const int32_t* places,
                                                int64_t slots) {
  const int64_t i = thread_in_grid();
  if (i < slots) placed[i] = indices[i] < 0 ? -1 : places[indices[i]];
}

// One thread per slot.
static __global__ void place_on_copies_kernel(int32_t* placed, const int32_t* indices, const int32_t* first,
                                              const int32_t* places, int64_t first_token, int64_t slots, int64_t k) {
  const int64_t i = thread_in_grid();
  if (i >= slots) return;
  const int32_t e = indices[i];
  placed[i] = e < 0 ? -1 : places[first[e] + copy_of_token(first_token + i / k, first[e + 1] - first[e])];
}

// One thread per (token, host).
static __global__ void choose_hosts_kernel(int32_t* chosen, const int32_t* indices, const int32_t* host_of,
                                           int64_t tokens, int64_t k, int64_t hosts) {
  const int64_t i = thread_in_grid();
  if (i >= tokens * hosts) return;
  const auto host = static_cast<int32_t>(i % hosts);
  int32_t result = -1;
  for (int64_t j = 0; j < k; ++j) {
    const int32_t expert = indices[i / hosts * k + j];
    if (expert >= 0 && host_of[expert] == host) result = host;
  }
  chosen[i] = result;
}

// One thread per slot of a row.
static __global__ void select_on_host_kernel(int32_t* rows, const int32_t* values, const int32_t* source,
                                             const int32_t* indices, const int32_t* host_of, int64_t slots, int64_t k,
                                             int64_t hosts) {
  const int64_t i = thread_in_grid();
  if (i >= slots) return;
  const int32_t row = source[i / k];
  int32_t result = -1;
  if (row >= 0) {
    const int64_t from = row / hosts * k + i % k;
    if (indices[from] >= 0 && host_of[indices[from]] == row % hosts) result = values[from];
  }
  rows[i] = result;
}

// One thread per row.
static __global__ void number_assignments_kernel(int32_t* numbers, const int32_t* source, const int32_t* indices,
                                                 int64_t count, int64_t first_token, int64_t k, int64_t experts) {
  const int64_t row = thread_in_grid();
  if (row >= count) return;
  const int32_t slot = source[row];
  numbers[row] = slot < 0 ? -1 : static_cast<int32_t>((first_token + slot / k) * experts + indices[slot]);
}

// rows[r] = x[source[r] / k] for rows shorter than a warp: one thread per element.
template <class T>
__global__ void permute_short_rows_kernel(T* rows, const T* x, const int32_t* source, int64_t count, int64_t d,
                                          int64_t k) {
  const int64_t i = thread_in_grid(), row = i / d;
  if (row >= count) return;
  const int32_t from = source[row];
  rows[i] = from < 0 ? T{} : x[from / k * d + i % d];
}

// y[t] = [y[t] +] the sum over j of weight[t][j] * rows[position[t][j]], in the order of j
template <class T, int N, bool kWeighted>
__global__ void gather_sum_kernel(T* y, const T* rows, const float* weights, const int32_t* position, int64_t tokens,
                                  int64_t d, int64_t k) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  for (int64_t i = lane_index() * N; i < d; i += kWarp * N) {
    Floats<N> sum{};
    if constexpr (!kWeighted) sum = load_vector<N>(y + t * d + i);
    for (int64_t j = 0; j < k; ++j) {
      const int32_t at = position[t * k + j];
      if (at < 0) continue;
      const float weight = kWeighted ? weights[t * k + j] : 1.0f;
      const Floats<N> row = load_vector<N>(rows + at * d + i);
#pragma unroll
      for (int e = 0; e < N; ++e) sum.v[e] += weight * row.v[e];
    }
    store_vector(y + t * d + i, sum);
  }
}

// d_rows[r] = weights[source[r]] * d_y[source[r] / k] and d_weights[source[r]] = <d_y, rows[r]>: each slot has its own
// row.
template <class T, int N>
__global__ void combine_backward_kernel(T* d_rows, float* d_weights, const T* d_y, const T* rows, const float* weights,
                                        const int32_t* source, int64_t count, int64_t d, int64_t k) {
  const int64_t row = warp_in_grid();
  if (row >= count) return;
  const int32_t slot = source[row];
  const float weight = slot < 0 ? 0.0f : weights[slot];
  float dot = 0;
  for (int64_t i = lane_index() * N; i < d; i += kWarp * N) {
    Floats<N> grad{};
    if (slot >= 0) {
      grad = load_vector<N>(d_y + slot / k * d + i);
      const Floats<N> value = load_vector<N>(rows + row * d + i);
#pragma unroll
      for (int e = 0; e < N; ++e) {
        dot += grad.v[e] * value.v[e];
        grad.v[e] *= weight;
      }
    }
    store_vector(d_rows + row * d + i, grad);
  }
  dot = warp_sum(dot);
  if (slot >= 0 && lane_index() == 0) d_weights[slot] = dot;
}

static __global__ void clear_empty_slots_kernel(float* d_weights, const int32_t* position, int64_t slots) {
  const int64_t i = thread_in_grid();
  if (i < slots && position[i] < 0) d_weights[i] = 0;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Unlike on the CPU, sources past the last assignment are -1, so later kernels do not need the number of assignments.
void sort_assignments(Context& ctx, Tensor position, Tensor source, Tensor offsets, ConstTensor indices) {
  counting_sort(ctx, position.as<int32_t>(), source.as<int32_t>(), offsets.as<int32_t>(),
                SortKeys{indices.as<int32_t>(), nullptr, 0, -1}, indices.size(), offsets.dim(0) - 1);
}

void place_assignments(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor places) {
  const int64_t slots = indices.size();
  launch(ctx, place_assignments_kernel, blocks_for(slots, kThreads), kThreads, 0, placed.as<int32_t>(),
         indices.as<int32_t>(), places.as<int32_t>(), slots);
}

void place_on_copies(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor first, ConstTensor places,
                     int64_t first_token) {
  const int64_t slots = indices.size();
  launch(ctx, place_on_copies_kernel, blocks_for(slots, kThreads), kThreads, 0, placed.as<int32_t>(),
         indices.as<int32_t>(), first.as<int32_t>(), places.as<int32_t>(), first_token, slots, indices.dim(1));
}

void choose_hosts(Context& ctx, Tensor chosen, ConstTensor indices, ConstTensor host_of) {
  launch(ctx, choose_hosts_kernel, blocks_for(chosen.size(), kThreads), kThreads, 0, chosen.as<int32_t>(),
         indices.as<int32_t>(), host_of.as<int32_t>(), chosen.dim(0), indices.dim(1), chosen.dim(1));
}

void select_on_host(Context& ctx, Tensor rows, ConstTensor values, ConstTensor source, ConstTensor indices,
                    ConstTensor host_of, int64_t hosts) {
  launch(ctx, select_on_host_kernel, blocks_for(rows.size(), kThreads), kThreads, 0, rows.as<int32_t>(),
         values.as<int32_t>(), source.as<int32_t>(), indices.as<int32_t>(), host_of.as<int32_t>(), rows.size(),
         indices.dim(1), hosts);
}

void number_assignments(Context& ctx, Tensor numbers, ConstTensor source, ConstTensor indices, int64_t first_token,
                        int64_t experts) {
  const int64_t count = numbers.size();
  launch(ctx, number_assignments_kernel, blocks_for(count, kThreads), kThreads, 0, numbers.as<int32_t>(),
         source.as<int32_t>(), indices.as<int32_t>(), count, first_token, indices.dim(1), experts);
}

template <class T>
static void gather_short_rows(Context& ctx, Tensor rows, ConstTensor x, ConstTensor source, int64_t k) {
  launch(ctx, permute_short_rows_kernel<T>, blocks_for(rows.size(), kThreads), kThreads, 0, rows.as<T>(), x.as<T>(),
         source.as<int32_t>(), rows.dim(0), rows.dim(1), k);
}

static void gather(Context& ctx, Tensor rows, ConstTensor x, ConstTensor source, int64_t k) {
  const int64_t count = rows.dim(0), d = rows.dim(1);
  for_type(x.dtype, [&]<class T>(T) {
    if (d < kWarp) return gather_short_rows<T>(ctx, rows, x, source, k);
    T* out = rows.as<T>();
    const T* in = x.as<T>();
    const auto kernel =
        in_vectors<T>(d, out, in) ? permute_forward_kernel<T, kPerVector<T>> : permute_forward_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(count, kThreads / kWarp), kThreads, 0, out, in, source.as<int32_t>(), count, d, k);
  });
}

void permute_forward(Context& ctx, Tensor rows, ConstTensor x, ConstTensor source, int64_t k) {
  gather(ctx, rows, x, source, k);
}

void gather_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor index) {
  if (x.dtype == DType::i32) return gather_short_rows<int32_t>(ctx, y, x, index, 1);
  gather(ctx, y, x, index, 1);
}

template <bool kWeighted>
static void gather_sum(Context& ctx, Tensor y, ConstTensor rows, const float* weights, ConstTensor position) {
  const int64_t tokens = y.dim(0), d = y.dim(1), k = position.dim(1);
  for_type(y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = rows.as<T>();
    const auto kernel =
        in_vectors<T>(d, out, in) ? gather_sum_kernel<T, kPerVector<T>, kWeighted> : gather_sum_kernel<T, 1, kWeighted>;
    launch(ctx, kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, out, in, weights, position.as<int32_t>(),
           tokens, d, k);
  });
}

void permute_backward(Context& ctx, Tensor d_x, ConstTensor d_rows, ConstTensor position) {
  gather_sum<false>(ctx, d_x, d_rows, nullptr, position);
}

void combine_forward(Context& ctx, Tensor y, ConstTensor rows, ConstTensor weights, ConstTensor position) {
  gather_sum<true>(ctx, y, rows, weights.as<float>(), position);
}

void combine_backward(Context& ctx, Tensor d_rows, Tensor d_weights, ConstTensor d_y, ConstTensor rows,
                      ConstTensor weights, ConstTensor position, ConstTensor source) {
  const int64_t d = d_y.dim(1), k = position.dim(1), count = d_rows.dim(0), slots = position.size();
  launch(ctx, clear_empty_slots_kernel, blocks_for(slots, kThreads), kThreads, 0, d_weights.as<float>(),
         position.as<int32_t>(), slots);
  for_type(d_y.dtype, [&]<class T>(T) {
    T* out = d_rows.as<T>();
    const T *grad = d_y.as<T>(), *in = rows.as<T>();
    const auto kernel =
        in_vectors<T>(d, out, grad, in) ? combine_backward_kernel<T, kPerVector<T>> : combine_backward_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(count, kThreads / kWarp), kThreads, 0, out, d_weights.as<float>(), grad, in,
           weights.as<float>(), source.as<int32_t>(), count, d, k);
  });
}

}  // namespace moe::cuda
