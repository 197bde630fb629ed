// Sums over many rows that each warp of a block keeps separately and that are added at the end, in the order of the
// warps. Either each warp has n sums, (warps, n) T at the start of shared memory, before the kernel's other data; or
// each thread has one.
#pragma once
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// Returns this warp's sums, set to zero.
template <class T>
__device__ T* own_sums(int64_t n) {
  T* own = &shared_memory<T>() + warp_index() * n;
  for (int64_t i = lane_index(); i < n; i += kWarp) own[i] = 0;
  __syncwarp();  // lanes may write more than they cleared
  return own;
}

// Called by every thread of the block: row blockIdx.x of partial (blocks, n) = the warps' sums, in the order of the
// warps.
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

// Number of blocks for a matrix with `columns` columns, where a block owns 32 columns, one per lane, and its warps take
// strided rows.
__host__ __device__ inline int64_t column_tiles(int64_t columns) {
  return (columns + kWarp - 1) / kWarp;
}

// Called by every thread of the block: returns the sum over the warps of their lanes' values, on the lanes of warp 0.
// `shared` holds one T per thread.
template <class T>
__device__ T sum_of_warps(T value, T* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  if (warp_index() > 0) return value;
  for (int i = kWarp + lane_index(); i < static_cast<int>(blockDim.x); i += kWarp) value += shared[i];
  return value;
}

}  // namespace moe::cuda
