// Sums over many rows in two steps of fixed order: blocks write partial sums, and a second kernel adds them block by
// block. The number of blocks does not depend on the device, so the results are identical to the bit on all devices.
#pragma once
#include <algorithm>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

inline constexpr int kPartials = 256;

// Enough blocks for `items`, `per_block` in each at a time, but at most kPartials * `factor`.
inline int partials_for(int64_t items, int64_t per_block, int factor = 1) {
  return static_cast<int>(std::min<int64_t>(int64_t{factor} * kPartials, (items + per_block - 1) / per_block));
}

// target[i] += sum over p of partial[p * stride + i], i < n; one thread per i
template <class T>
__global__ void add_partials_kernel(T* target, const T* partial, int64_t n, int64_t stride, int partials) {
  const int64_t i = thread_in_grid();
  if (i >= n) return;
  T sum = 0;
  for (int p = 0; p < partials; ++p) sum += partial[p * stride + i];
  target[i] += sum;
}

// target (n) += the sums of the first n columns of partial (partials, stride)
template <class T>
void add_partials(const Context& ctx, T* target, const T* partial, int64_t n, int64_t stride, int partials) {
  launch(ctx, add_partials_kernel<T>, blocks_for(n, 128), 128, 0, target, partial, n, stride, partials);
}

// target[0] += the sum of x (n), in f64: one block, whose threads take strided elements
template <class T>
__global__ void add_sum_kernel(T* target, const T* x, int64_t n) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += static_cast<double>(x[i]);
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) target[0] += static_cast<T>(sum);
}

template <class T>
void add_sum(const Context& ctx, T* target, const T* x, int64_t n) {
  launch(ctx, add_sum_kernel<T>, dim3(1), 1024, 32 * sizeof(double), target, x, n);
}

}  // namespace moe::cuda
