// Collective operations of a block. Every thread takes part; blocks consist of whole warps, 32 at most. `slots` is
// shared memory for 32 values, which may be reused when the function returns.
#pragma once
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// Returns the same sum on every thread; warps are added in order.
template <class T>
__device__ inline T block_sum(T value, T* slots) {
  value = warp_sum(value);
  if (lane_index() == 0) slots[warp_index()] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  T sum = 0;
  for (int w = 0; w < warps; ++w) sum += slots[w];
  __syncthreads();
  return sum;
}

// Returns the same maximum on every thread.
__device__ inline float block_max(float value, float* slots) {
  value = warp_max(value);
  if (lane_index() == 0) slots[warp_index()] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  float largest = slots[0];
  for (int w = 1; w < warps; ++w) largest = fmaxf(largest, slots[w]);
  __syncthreads();
  return largest;
}

// Sum over the threads before this one; `total` gets the sum over all.
__device__ inline int block_exclusive_sum(int value, int* slots, int& total) {
  const int before = warp_exclusive_sum(value);
  if (lane_index() == kWarp - 1) slots[warp_index()] = before + value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  int base = 0;
  total = 0;
  for (int w = 0; w < warps; ++w) {
    if (w == warp_index()) base = total;
    total += slots[w];
  }
  __syncthreads();
  return base + before;
}

}  // namespace moe::cuda
