// Sums over many rows that the warps of a block keep apart and add up at the end, in the order of the warps: either n
// sums of each warp, in shared memory at its beginning, (warps, n) T, before the kernel's own; or one of each thread.
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

// A block owns 32 columns, a lane each, and its warps take strided rows: how many blocks a matrix of so many columns
// needs.
__host__ __device__ inline int64_t column_tiles(int64_t columns) {
  return (columns + kWarp - 1) / kWarp;
}

// Every thread of the block: the sum over the warps of their lanes' values, on the lanes of warp 0. `shared` holds a T
// for each thread.
template <class T>
__device__ T sum_of_warps(T value, T* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  if (warp_index() > 0) return value;
  for (int i = kWarp + lane_index(); i < static_cast<int>(blockDim.x); i += kWarp) value += shared[i];
  return value;
}

}  // namespace moe::cuda
