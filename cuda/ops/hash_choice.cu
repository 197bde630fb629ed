#include "core/ops/hash_choice.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

// One warp per token. Lane l holds the random numbers of experts l, l + 32, ..., each combined with its expert's index
// in the low bits so that of equal values the smaller index is the larger. All are distinct, and none is 0, which marks
// an expert that has been taken.
template <int kPerLane>
__global__ void hash_choice_kernel(int32_t* indices, const int32_t* ids, int64_t tokens, int experts, int k,
                                   RandomKey key) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  uint64_t own[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane_index() + i * kWarp;
    const uint64_t number = e < experts ? key.words(static_cast<uint64_t>(int64_t{ids[t]} * experts + e))[0] : 0;
    own[i] = e < experts ? number << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(e)) : 0;
  }
  for (int j = 0; j < k; ++j) {
    uint64_t best = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) best = own[i] > best ? own[i] : best;
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, best, offset);
      best = other > best ? other : best;
    }
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) own[i] = own[i] == best ? 0 : own[i];
    if (lane_index() == 0) indices[t * k + j] = static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(best));
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void hash_choice(Context& ctx, Tensor indices, ConstTensor ids, int64_t experts, const RandomKey& key) {
  const int64_t tokens = ids.size();
  if (experts > 1024) raise<DeviceError>("{} experts; on CUDA a router supports at most 1024", experts);
  const auto kernel = experts <= 64    ? hash_choice_kernel<2>
                      : experts <= 256 ? hash_choice_kernel<8>
                                       : hash_choice_kernel<32>;
  launch(ctx, kernel, blocks_for(tokens, kThreads / kWarp), kThreads, 0, indices.as<int32_t>(), ids.as<int32_t>(),
         tokens, static_cast<int>(experts), static_cast<int>(indices.dim(1)), key);
}

}  // namespace moe::cuda
