#include "core/ops/expert_choice.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/float_key.cuh"
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kWarps = 16, kDigits = 256;

struct ChoiceShared {
  int counts[kDigits][kWarp];  // histogram of a digit, per expert of the block
  int ties[kWarps][kWarp];
  uint32_t prefix[kWarp];  // leading digits of the key of the last token that an expert takes
  int wanted[kWarp];       // number of tokens with this prefix that it takes
  int slots[kWarps];       // for a block sum
};

// One block per group and 32 neighbouring experts, a lane per expert, so that a warp reads a token's 32 probabilities
// together. The key of the last token that is taken is found from its highest digit down, by counts (integer sums do
// not depend on the order). Equal keys are taken in their order in the group: each warp has a contiguous run of tokens
// and the number of equal keys before it.
static __global__ void expert_choice_kernel(int32_t* indices, float* weights, const float* probabilities,
                                            TokenGroups groups, int64_t experts, GroupRoom room) {
  ChoiceShared& shared = shared_memory<ChoiceShared>();
  const int lane = lane_index(), warp = warp_index();
  const int64_t tiles = (experts + kWarp - 1) / kWarp, group = blockIdx.x / tiles;
  const int64_t expert = blockIdx.x % tiles * kWarp + lane;
  const bool active = expert < experts;
  const auto place = [&](int64_t j) { return groups.token(group, j) * experts + expert; };
  const auto counts = [&](int64_t j) { return groups.counts(groups.token(group, j)); };

  int counted = 0;
  for (int64_t j = threadIdx.x; j < groups.size; j += blockDim.x) counted += counts(j);
  counted = block_sum(counted, shared.slots);
  if (warp == 0) shared.prefix[lane] = 0, shared.wanted[lane] = static_cast<int>(room.of(counted));
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int d = warp; d < kDigits; d += kWarps) shared.counts[d][lane] = 0;
    __syncthreads();
    const uint32_t prefix = shared.prefix[lane];
    for (int64_t j = warp; active && j < groups.size; j += kWarps) {
      if (!counts(j)) continue;
      const uint32_t key = key_of(probabilities[place(j)]);
      if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8)) {
        atomicAdd(&shared.counts[key >> shift & 255u][lane], 1);
      }
    }
    __syncthreads();
    if (warp == 0 && active) {
      int left = shared.wanted[lane], digit = kDigits - 1;
      for (; digit > 0 && shared.counts[digit][lane] < left; --digit) left -= shared.counts[digit][lane];
      shared.prefix[lane] = prefix | static_cast<uint32_t>(digit) << shift;
      shared.wanted[lane] = left;
    }
    __syncthreads();
  }

  const uint32_t last = shared.prefix[lane];
  const int64_t run = (groups.size + kWarps - 1) / kWarps, begin = warp * run, end = min(begin + run, groups.size);
  int ties = 0;
  for (int64_t j = begin; active && j < end; ++j) ties += counts(j) && key_of(probabilities[place(j)]) == last;
  shared.ties[warp][lane] = ties;
  __syncthreads();
  int before = 0;
  for (int w = 0; w < warp; ++w) before += shared.ties[w][lane];
  for (int64_t j = begin; active && j < end; ++j) {
    const int64_t slot = place(j);
    const uint32_t key = key_of(probabilities[slot]);
    const bool taken = counts(j) && (key > last || (key == last && before++ < shared.wanted[lane]));
    indices[slot] = taken ? static_cast<int32_t>(expert) : -1;
    weights[slot] = taken ? probabilities[slot] : 0.0f;
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void expert_choice(Context& ctx, Tensor indices, Tensor weights, ConstTensor probabilities, const TokenGroups& groups,
                   const GroupRoom& room) {
  const int64_t experts = probabilities.dim(1);
  launch(ctx, expert_choice_kernel, blocks_for(groups.size > 0 ? groups.count * ((experts + kWarp - 1) / kWarp) : 0, 1),
         kWarps * kWarp, sizeof(ChoiceShared), indices.as<int32_t>(), weights.as<float>(), probabilities.as<float>(),
         groups, experts, room);
}

}  // namespace moe::cuda
