#include "core/ops/pooling.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128, kWarps = kThreads / kWarp;

// Values that are the same on every thread of the block.
struct Shares {
  float each;    // weight in the mean of each token that is not padding
  int64_t last;  // the last of these tokens, -1 if there are none

  __device__ Shares(const int32_t* targets, int64_t time, float* slots) {
    float counted = 0, end = 0;
    for (int64_t t = threadIdx.x; t < time; t += kThreads) {
      if (targets[t] == kIgnoreTarget) continue;
      ++counted;
      end = static_cast<float>(t + 1);
    }
    counted = block_sum(counted, slots);
    each = counted > 0 ? 1.0f / counted : 0.0f;
    last = static_cast<int64_t>(block_max(end, slots)) - 1;
  }
  __device__ float of(const int32_t* targets, int64_t place, Pooling pooling) const {
    if (pooling == Pooling::class_token) return place == 0 ? 1.0f : 0.0f;
    if (pooling == Pooling::last) return place == last ? 1.0f : 0.0f;
    return targets[place] == kIgnoreTarget ? 0.0f : each;
  }
};

struct PoolingShared {
  float slots[32];
  float sums[kThreads];
};

// One block per sequence and 32 columns, a lane per column. Warps take strided tokens and are added up in order.
template <class T>
__global__ void pool_forward_kernel(T* pooled, const T* x, const int32_t* targets, int64_t d, int64_t time,
                                    Pooling pooling) {
  auto& shared = shared_memory<PoolingShared>();
  const int64_t tiles = column_tiles(d), sequence = blockIdx.x / tiles;
  const int64_t column = blockIdx.x % tiles * kWarp + lane_index();
  targets += sequence * time;
  const Shares shares(targets, time, shared.slots);
  float sum = 0;
  for (int64_t t = warp_index(); column < d && t < time; t += kWarps) {
    const float share = shares.of(targets, t, pooling);
    if (share != 0) sum += share * load(x + (sequence * time + t) * d + column);
  }
  sum = sum_of_warps(sum, shared.sums);
  if (warp_index() == 0 && column < d) store(pooled + sequence * d + column, sum);
}

// One block per sequence, whose threads take strided elements.
template <class T>
__global__ void pool_backward_kernel(T* d_x, const T* d_pooled, const int32_t* targets, int64_t d, int64_t time,
                                     Pooling pooling) {
  float* slots = &shared_memory<float>();
  const int64_t sequence = blockIdx.x;
  targets += sequence * time;
  const Shares shares(targets, time, slots);
  for (int64_t i = threadIdx.x; i < time * d; i += kThreads) {
    store(d_x + sequence * time * d + i, shares.of(targets, i / d, pooling) * load(d_pooled + sequence * d + i % d));
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static int64_t time_of(int64_t tokens, int64_t sequences) {
  return sequences > 0 ? tokens / sequences : 0;
}

void pool_forward(Context& ctx, Tensor pooled, ConstTensor x, ConstTensor targets, Pooling pooling) {
  const int64_t sequences = pooled.dim(0), d = pooled.dim(1), blocks = sequences * column_tiles(d);
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, pool_forward_kernel<T>, blocks_for(blocks, 1), kThreads, sizeof(PoolingShared), pooled.as<T>(),
           x.as<T>(), targets.as<int32_t>(), d, time_of(x.dim(0), sequences), pooling);
  });
}

void pool_backward(Context& ctx, Tensor d_x, ConstTensor d_pooled, ConstTensor targets, Pooling pooling) {
  const int64_t sequences = d_pooled.dim(0), d = d_pooled.dim(1);
  for_type(d_x.dtype, [&]<class T>(T) {
    launch(ctx, pool_backward_kernel<T>, blocks_for(sequences, 1), kThreads, 32 * sizeof(float), d_x.as<T>(),
           d_pooled.as<T>(), targets.as<int32_t>(), d, time_of(d_x.dim(0), sequences), pooling);
  });
}

}  // namespace moe::cuda
