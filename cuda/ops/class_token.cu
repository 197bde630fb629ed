#include "core/ops/class_token.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per element of y.
template <class T>
__global__ void class_token_forward_kernel(T* y, const T* x, const T* row, int64_t size, int64_t d, int64_t time) {
  const int64_t i = thread_in_grid(), token = i / d, sequence = token / time, place = token % time;
  if (i >= size) return;
  y[i] = place == 0 ? row[i % d] : x[(sequence * (time - 1) + place - 1) * d + i % d];
}

// One thread per element of d_x.
template <class T>
__global__ void class_token_backward_kernel(T* d_x, const T* d_y, int64_t size, int64_t d, int64_t time) {
  const int64_t i = thread_in_grid(), token = i / d, sequence = token / (time - 1), place = token % (time - 1);
  if (i < size) d_x[i] = d_y[(sequence * time + place + 1) * d + i % d];
}

// One block per 32 columns, a lane per column. Warps take strided sequences and are added up in order. Shared memory:
// (warps, 32) f32.
template <class T>
__global__ void class_token_backward_row_kernel(float* d_row, const T* d_y, int64_t sequences, int64_t d,
                                                int64_t time) {
  constexpr int kWarps = kThreads / kWarp;
  const int64_t column = int64_t{blockIdx.x} * kWarp + lane_index();
  float sum = 0;
  for (int64_t s = warp_index(); column < d && s < sequences; s += kWarps) sum += load(d_y + s * time * d + column);
  sum = sum_of_warps(sum, &shared_memory<float>());
  if (warp_index() == 0 && column < d) d_row[column] += sum;
}

// The index of the class token that follows a text, -1 if there is none.
static __device__ int64_t end_of(const int32_t* lengths, int64_t sequence, int64_t time) {
  const int64_t length = lengths != nullptr ? lengths[sequence] : time;
  return length > 0 ? sequence * time + length - 1 : -1;
}

// One thread per sequence and column.
template <class T>
__global__ void end_token_forward_kernel(T* hidden, const T* row, const int32_t* lengths, int64_t size, int64_t d,
                                         int64_t time) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const int64_t token = end_of(lengths, i / d, time);
  if (token >= 0) hidden[token * d + i % d] = row[i % d];
}

// One block per 32 columns, a lane per column, as in class_token_backward_row_kernel. The gradients it has read are set
// to 0.
template <class T>
__global__ void end_token_backward_kernel(T* d_hidden, float* d_row, const int32_t* lengths, int64_t sequences,
                                          int64_t d, int64_t time) {
  constexpr int kWarps = kThreads / kWarp;
  const int64_t column = int64_t{blockIdx.x} * kWarp + lane_index();
  float sum = 0;
  for (int64_t s = warp_index(); column < d && s < sequences; s += kWarps) {
    const int64_t token = end_of(lengths, s, time);
    if (token < 0) continue;
    sum += load(d_hidden + token * d + column);
    store(d_hidden + token * d + column, 0.0f);
  }
  sum = sum_of_warps(sum, &shared_memory<float>());
  if (warp_index() == 0 && column < d) d_row[column] += sum;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void class_token_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor row, int64_t time) {
  for_type(y.dtype, [&]<class T>(T) {
    launch(ctx, class_token_forward_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), x.as<T>(),
           row.as<T>(), y.size(), y.dim(1), time);
  });
}

void class_token_backward(Context& ctx, Tensor d_x, Tensor d_row, ConstTensor d_y, int64_t time) {
  const int64_t d = d_y.dim(1);
  for_type(d_y.dtype, [&]<class T>(T) {
    launch(ctx, class_token_backward_kernel<T>, blocks_for(d_x.size(), kThreads), kThreads, 0, d_x.as<T>(), d_y.as<T>(),
           d_x.size(), d, time);
    launch(ctx, class_token_backward_row_kernel<T>, blocks_for(column_tiles(d), 1), kThreads, kThreads * sizeof(float),
           d_row.as<float>(), d_y.as<T>(), d_y.dim(0) / time, d, time);
  });
}

static const int32_t* pointer_to(ConstTensor lengths) {
  return lengths ? lengths.as<int32_t>() : nullptr;
}

void end_token_forward(Context& ctx, Tensor hidden, ConstTensor row, ConstTensor lengths, int64_t time) {
  const int64_t d = hidden.dim(1), size = hidden.dim(0) / time * d;
  for_type(hidden.dtype, [&]<class T>(T) {
    launch(ctx, end_token_forward_kernel<T>, blocks_for(size, kThreads), kThreads, 0, hidden.as<T>(), row.as<T>(),
           pointer_to(lengths), size, d, time);
  });
}

void end_token_backward(Context& ctx, Tensor d_hidden, Tensor d_row, ConstTensor lengths, int64_t time) {
  const int64_t d = d_hidden.dim(1);
  for_type(d_hidden.dtype, [&]<class T>(T) {
    launch(ctx, end_token_backward_kernel<T>, blocks_for(column_tiles(d), 1), kThreads, kThreads * sizeof(float),
           d_hidden.as<T>(), d_row.as<float>(), pointer_to(lengths), d_hidden.dim(0) / time, d, time);
  });
}

}  // namespace moe::cuda
