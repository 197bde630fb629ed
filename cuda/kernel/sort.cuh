// Stable counting sort in three steps of fixed order: each block counts the keys of its chunk, one block converts the
// counts to positions, and each block writes its chunk to its positions. The only atomics are on integer counts, whose
// sum does not depend on the order.
#pragma once
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

inline constexpr int kSortChunk = 1024;  // keys per block

// The keys: keys[order[i]] >> shift, masked to a digit; without `order`, keys[i]. A key below 0 is absent.
struct SortKeys {
  const int32_t* keys;
  const int32_t* order;
  int shift, mask;

  __device__ int32_t at(int64_t i) const {
    const int32_t key = keys[order ? order[i] : i];
    return key < 0 ? -1 : key >> shift & mask;
  }
};

// counts (blocks, buckets)
static __global__ void sort_count_kernel(int32_t* counts, SortKeys keys, int64_t n, int buckets) {
  int32_t* count = &shared_memory<int32_t>();
  for (int i = static_cast<int>(threadIdx.x); i < buckets; i += static_cast<int>(blockDim.x)) count[i] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kSortChunk, end = min(begin + kSortChunk, n);
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const int32_t key = keys.at(i);
    if (key >= 0) atomicAdd(&count[key], 1);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < buckets; i += static_cast<int>(blockDim.x)) {
    counts[int64_t{blockIdx.x} * buckets + i] = count[i];
  }
}

// One block. Replaces counts (blocks, buckets) by the position of the first key of each block and bucket; offsets
// (buckets + 1).
static __global__ void sort_places_kernel(int32_t* counts, int32_t* offsets, int blocks, int buckets) {
  int* slots = &shared_memory<int>();
  int base = 0;
  for (int first = 0; first < buckets; first += static_cast<int>(blockDim.x)) {
    const int bucket = first + static_cast<int>(threadIdx.x);
    int count = 0;
    for (int b = 0; b < blocks && bucket < buckets; ++b) count += counts[int64_t{b} * buckets + bucket];
    int total = 0;
    int place = base + block_exclusive_sum(count, slots, total);
    if (bucket < buckets) {
      offsets[bucket] = place;
      for (int b = 0; b < blocks; ++b) {
        int32_t& entry = counts[int64_t{b} * buckets + bucket];
        const int here = entry;
        entry = place;
        place += here;
      }
    }
    base += total;
  }
  if (threadIdx.x == 0) offsets[buckets] = base;
}

// One warp per chunk, 32 keys at a time in order: a key's position is its bucket's next one plus the number of equal
// keys in lower lanes. sorted[place] = the index (order[i], or i itself); position[i] = place, or -1. Entries past the
// last position get -1.
static __global__ void sort_place_kernel(int32_t* position, int32_t* sorted, const int32_t* places,
                                         const int32_t* offsets, SortKeys keys, int64_t n, int buckets) {
  int32_t* next = &shared_memory<int32_t>();
  const int lane = lane_index();
  for (int i = lane; i < buckets; i += kWarp) next[i] = places[int64_t{blockIdx.x} * buckets + i];
  __syncwarp();
  const int64_t begin = int64_t{blockIdx.x} * kSortChunk, end = min(begin + kSortChunk, n);
  const int32_t total = offsets[buckets];
  for (int64_t first = begin; first < end; first += kWarp) {
    const int64_t i = first + lane;
    const int32_t key = i < end ? keys.at(i) : -1;
    const unsigned equal = __match_any_sync(kAllLanes, key);
    const int before = __popc(equal & ((1u << lane) - 1));
    const int32_t place = key >= 0 ? next[key] + before : -1;
    __syncwarp();
    if (key >= 0 && before == 0) next[key] += __popc(equal);
    __syncwarp();
    if (i < end) {
      if (position) position[i] = place;
      if (place >= 0) sorted[place] = keys.order ? keys.order[i] : static_cast<int32_t>(i);
      if (i >= total) sorted[i] = -1;
    }
  }
}

// indices (n) with values in [0, buckets), or below 0 -> position and source as described for sort_assignments.
// `position` may be null. At most 8192 buckets.
inline void counting_sort(Context& ctx, int32_t* position, int32_t* sorted, int32_t* offsets, SortKeys keys, int64_t n,
                          int64_t buckets) {
  MOE_CHECK(buckets <= 8192, "{} buckets; at most 8192 are supported", buckets);
  ScratchScope scratch(ctx);
  const int64_t blocks = (n + kSortChunk - 1) / kSortChunk;
  int32_t* counts = scratch.allocate(Shape{blocks, buckets}, DType::i32).as<int32_t>();
  const size_t shared_bytes = static_cast<size_t>(buckets) * sizeof(int32_t);
  const int width = static_cast<int>(buckets);
  launch(ctx, sort_count_kernel, blocks_for(n, kSortChunk), 256, shared_bytes, counts, keys, n, width);
  launch(ctx, sort_places_kernel, dim3(1), 256, 32 * sizeof(int), counts, offsets, static_cast<int>(blocks), width);
  launch(ctx, sort_place_kernel, blocks_for(n, kSortChunk), kWarp, shared_bytes, position, sorted, counts, offsets,
         keys, n, width);
}

// Returns the indices of keys (n) i32 in [0, bound), sorted by key, equal keys in their order; in `scratch`. One pass
// per 8 bits.
inline const int32_t* sort_by_key(Context& ctx, ScratchScope& scratch, ConstTensor keys, int64_t bound) {
  const int64_t n = keys.size();
  int32_t* orders[2];
  for (int32_t*& order : orders) order = scratch.allocate(Shape{n}, DType::i32).as<int32_t>();
  int32_t* offsets = scratch.allocate(Shape{257}, DType::i32).as<int32_t>();
  const int32_t* order = nullptr;
  for (int shift = 0, pass = 0; shift == 0 || bound > int64_t{1} << shift; shift += 8, ++pass) {
    int32_t* next = orders[pass % 2];
    counting_sort(ctx, nullptr, next, offsets, SortKeys{keys.as<int32_t>(), order, shift, 255}, n, 256);
    order = next;
  }
  return order;
}

}  // namespace moe::cuda
