#include "core/ops/sinkhorn.h"

#include "core/ops/elementwise.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256, kWarps = kThreads / kWarp;
static constexpr int64_t kRows = 128;  // rows of a block

// Running log-sum-exp of a sequence of values.
struct LogSum {
  float largest = -INFINITY, sum = 0;

  __device__ void add(float value, float count = 1) {
    if (value > largest) {
      sum = sum * expf(largest - value) + count;
      largest = value;
    } else if (value != -INFINITY) {  // NaN propagates into the sum
      sum += count * expf(value - largest);
    }
  }
  __device__ float value() const { return largest + logf(sum); }
};

// One block per part of a group's rows, one warp per row: makes the row sum to 1 and adds it to the sums of its
// columns, of which lane l has l, l + 32, ... Warps are merged in order. partial (groups, parts, 2, experts): a LogSum
// per column. g (groups, experts). Shared memory: g (experts), then a LogSum per warp and column.
template <int kPerLane>
__global__ void sinkhorn_rows_kernel(float* partial, const float* g, const float* logits, TokenGroups groups,
                                     int64_t parts, int experts) {
  float* mine = &shared_memory<float>();
  float* sums = mine + experts;  // (2, warps, experts)
  const int lane = lane_index(), warp = warp_index();
  const int64_t group = blockIdx.x / parts, part = blockIdx.x % parts;
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += kThreads) mine[e] = g[group * experts + e];
  __syncthreads();
  LogSum columns[kPerLane];
  for (int64_t j = part * kRows + warp; j < min((part + 1) * kRows, groups.size); j += kWarps) {
    if (!groups.counts(groups.token(group, j))) continue;  // the same for the whole warp
    const float* row = logits + groups.token(group, j) * experts;
    float own[kPerLane], largest = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int e = lane + i * kWarp;
      own[i] = e < experts ? row[e] : -INFINITY;
      if (e < experts) largest = fmaxf(largest, own[i] + mine[e]);
    }
    largest = warp_max(largest);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int e = lane + i * kWarp;
      if (e < experts) sum += expf(own[i] + mine[e] - largest);
    }
    const float f = -(largest + logf(warp_sum(sum)));
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (lane + i * kWarp < experts) columns[i].add(own[i] + f);
    }
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = lane + i * kWarp;
    if (e >= experts) continue;
    sums[warp * experts + e] = columns[i].largest;
    sums[(kWarps + warp) * experts + e] = columns[i].sum;
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += kThreads) {
    LogSum all;
    for (int w = 0; w < kWarps; ++w) all.add(sums[w * experts + e], sums[(kWarps + w) * experts + e]);
    partial[2 * int64_t{blockIdx.x} * experts + e] = all.largest;
    partial[(2 * int64_t{blockIdx.x} + 1) * experts + e] = all.sum;
  }
}

// One block per group: counts the group's tokens that are not padding.
static __global__ void count_group_kernel(int32_t* counted, TokenGroups groups) {
  int own = 0;
  for (int64_t j = threadIdx.x; j < groups.size; j += blockDim.x) own += groups.counts(groups.token(blockIdx.x, j));
  const int count = block_sum(own, &shared_memory<int>());
  if (threadIdx.x == 0) counted[blockIdx.x] = count;
}

// One thread per group and expert: merges the parts, in order, and makes the column sum to its share. Groups of one
// token are left unchanged.
static __global__ void sinkhorn_columns_kernel(float* g, const float* partial, const int32_t* counted, int64_t size,
                                               int64_t parts, int64_t experts) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const int64_t group = i / experts, e = i % experts;
  if (counted[group] <= 1) return;
  LogSum all;
  for (int64_t p = group * parts; p < (group + 1) * parts; ++p) {
    all.add(partial[2 * p * experts + e], partial[(2 * p + 1) * experts + e]);
  }
  const float mass = all.value(), wanted = logf(static_cast<float>(counted[group]) / static_cast<float>(experts));
  g[i] = isfinite(mass) ? wanted - mass : 0.0f;
}

// One thread per element of a group.
static __global__ void add_columns_kernel(float* scores, const float* logits, const float* g, TokenGroups groups,
                                          int64_t experts) {
  const int64_t i = thread_in_grid();
  if (i >= groups.count * groups.size * experts) return;
  const int64_t e = i % experts, j = i / experts % groups.size, group = i / experts / groups.size;
  const int64_t at = groups.token(group, j) * experts + e;
  scores[at] = logits[at] + g[group * experts + e];
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void sinkhorn_scores(Context& ctx, Tensor scores, ConstTensor logits, const TokenGroups& groups, int64_t iterations) {
  const int64_t experts = logits.dim(1), parts = (groups.size + kRows - 1) / kRows;
  if (experts > 1024) raise<DeviceError>("{} experts; on CUDA a router supports at most 1024", experts);
  ScratchScope scratch(ctx);
  const Tensor g = scratch.allocate(Shape{groups.count, experts}, DType::f32);
  float* partial = scratch.allocate(Shape{groups.count * parts, 2, experts}, DType::f32).as<float>();
  int32_t* counted = scratch.allocate(Shape{groups.count}, DType::i32).as<int32_t>();
  moe::fill_zero(ctx, g);
  launch(ctx, count_group_kernel, blocks_for(groups.count, 1), kThreads, 32 * sizeof(int), counted, groups);
  const auto rows_kernel = experts <= 64    ? sinkhorn_rows_kernel<2>
                           : experts <= 256 ? sinkhorn_rows_kernel<8>
                                            : sinkhorn_rows_kernel<32>;
  for (int64_t round = 0; round < iterations && groups.size > 1; ++round) {
    launch(ctx, rows_kernel, blocks_for(groups.count * parts, 1), kThreads,
           static_cast<size_t>((1 + 2 * kWarps) * experts) * sizeof(float), partial, g.as<float>(), logits.as<float>(),
           groups, parts, static_cast<int>(experts));
    launch(ctx, sinkhorn_columns_kernel, blocks_for(g.size(), kThreads), kThreads, 0, g.as<float>(), partial, counted,
           g.size(), parts, experts);
  }
  launch(ctx, add_columns_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, scores.as<float>(),
         logits.as<float>(), g.as<float>(), groups, experts);
}

}  // namespace moe::cuda
