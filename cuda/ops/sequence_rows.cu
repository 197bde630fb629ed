#include "core/ops/sequence_rows.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256, kWarps = kThreads / kWarp;

static __global__ void add_sequence_rows_kernel(float* y, const float* rows, int64_t size, int64_t n, int64_t time) {
  const int64_t i = thread_in_grid();
  if (i < size) y[i] += rows[i / n / time * n + i % n];
}

// One block per sequence and 32 columns, a lane per column. Warps take strided tokens and are added up in order. Shared
// memory: (warps, 32) f32.
static __global__ void sum_sequence_rows_kernel(float* sums, const float* y, int64_t n, int64_t time) {
  const int64_t tiles = column_tiles(n), sequence = blockIdx.x / tiles;
  const int64_t column = blockIdx.x % tiles * kWarp + lane_index();
  float sum = 0;
  for (int64_t t = warp_index(); column < n && t < time; t += kWarps) sum += y[(sequence * time + t) * n + column];
  sum = sum_of_warps(sum, &shared_memory<float>());
  if (warp_index() == 0 && column < n) sums[sequence * n + column] = sum;
}

static __global__ void clamp_ids_kernel(int32_t* clamped, const int32_t* ids, int64_t n, int32_t largest) {
  const int64_t i = thread_in_grid();
  if (i < n) clamped[i] = ids ? min(ids[i], largest) : 0;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void add_sequence_rows(Context& ctx, Tensor y, ConstTensor rows) {
  const int64_t sequences = rows.dim(0);
  launch(ctx, add_sequence_rows_kernel, blocks_for(y.size(), kThreads), kThreads, 0, y.as<float>(), rows.as<float>(),
         y.size(), y.dim(1), sequences > 0 ? y.dim(0) / sequences : 1);
}

void sum_sequence_rows(Context& ctx, Tensor sums, ConstTensor y) {
  const int64_t sequences = sums.dim(0), n = sums.dim(1), blocks = sequences * column_tiles(n);
  launch(ctx, sum_sequence_rows_kernel, blocks_for(blocks, 1), kThreads, kThreads * sizeof(float), sums.as<float>(),
         y.as<float>(), n, sequences > 0 ? y.dim(0) / sequences : 1);
}

void clamp_ids(Context& ctx, Tensor clamped, ConstTensor ids, int64_t bound) {
  launch(ctx, clamp_ids_kernel, blocks_for(clamped.size(), kThreads), kThreads, 0, clamped.as<int32_t>(),
         ids ? ids.as<int32_t>() : nullptr, clamped.size(), static_cast<int32_t>(bound - 1));
}

}  // namespace moe::cuda
