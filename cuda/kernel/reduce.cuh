// Sums over many rows in two steps of fixed order: blocks write partial sums, a second kernel adds them up block by
// block. The number of blocks does not depend on the device, so neither do the bits.
#pragma once
#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

inline constexpr int kPartials = 256;

// target[i] += sum over p of partial[p * stride + i], i < n; one thread per i
template <class T>
__global__ void add_partials_kernel(T* target, const T* partial, int64_t n, int64_t stride, int partials) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
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

}  // namespace moe::cuda
