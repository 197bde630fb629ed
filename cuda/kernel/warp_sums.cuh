// Sums over many rows that the warps of a block keep apart, each n of them in shared memory at its beginning, and add
// up at the end. Shared memory: (warps, n) T, then the kernel's own.
#pragma once
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// This warp's sums, set to zero.
template <class T>
__device__ T* own_sums(int64_t n) {
  T* own = &shared_memory<T>() + warp_index() * n;
  for (int64_t i = lane_index(); i < n; i += kWarp) own[i] = 0;
  __syncwarp();  // lanes may write more than they cleared
  return own;
}

// Every thread of the block: row blockIdx.x of partial (blocks, n) = the warps' sums, in the order of the warps.
template <class T>
__device__ void add_up_warps(T* partial, int64_t n) {
  const T* sums = &shared_memory<T>();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    T sum = 0;
    for (int w = 0; w < warps; ++w) sum += sums[w * n + i];
    partial[blockIdx.x * n + i] = sum;
  }
}

}  // namespace moe::cuda
