// Collective operations of the 32 lanes of a warp. Every lane takes part.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace moe::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

// The index of this thread, and of its warp, in a one-dimensional grid.
__device__ inline int64_t thread_in_grid() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline int64_t warp_in_grid() {
  return thread_in_grid() / kWarp;
}
__device__ inline int64_t threads_in_grid() {
  return int64_t{gridDim.x} * blockDim.x;
}
__device__ inline int64_t warps_in_grid() {
  return threads_in_grid() / kWarp;
}

// Returns the same sum on every lane, added in a fixed order. Lanes 0 .. kLanes - 1, kLanes .. and so on are separate
// groups.
template <int kLanes = kWarp, class T>
__device__ inline T warp_sum(T value) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

template <int kLanes = kWarp>
__device__ inline float warp_max(float value) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// The largest value with the smallest index at which it occurs.
struct Indexed {
  float value;
  int index;
};
__device__ inline Indexed larger(Indexed a, Indexed b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}
__device__ inline Indexed warp_argmax(Indexed best) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    best =
        larger(best, {__shfl_xor_sync(kAllLanes, best.value, offset), __shfl_xor_sync(kAllLanes, best.index, offset)});
  }
  return best;
}

// Sum over the lanes before this one.
__device__ inline int warp_exclusive_sum(int value) {
  int sum = value;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int before = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane_index() >= offset) sum += before;
  }
  return sum - value;
}

}  // namespace moe::cuda
