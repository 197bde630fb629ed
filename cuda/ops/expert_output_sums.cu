#include "core/ops/expert_output_sums.h"

#include "core/base/token.h"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/sort.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// One block per expert and 32 columns, a lane per column. `slots` are sorted by expert. The slots of an expert are
// strided over the warps, whose sums are added in order. Shared memory: (warps, 32) f64.
template <class T>
__global__ void expert_output_sums_kernel(double* sums, const T* rows, const int32_t* slots, const int32_t* offsets,
                                          const int32_t* position, const int32_t* targets, int64_t d, int64_t k) {
  const int64_t tiles = column_tiles(d), expert = blockIdx.x / tiles;
  const int64_t column = blockIdx.x % tiles * kWarp + lane_index();
  double sum = 0;
  for (int32_t i = offsets[expert] + warp_index(); column < d && i < offsets[expert + 1]; i += kWarps) {
    const int32_t slot = slots[i], row = position[slot];
    if (row >= 0 && targets[slot / k] != kIgnoreTarget) sum += static_cast<double>(load(rows + row * d + column));
  }
  sum = sum_of_warps(sum, &shared_memory<double>());
  if (warp_index() == 0 && column < d) sums[expert * d + column] = sum;
}

// One warp per slot, which owns its row.
template <class T>
__global__ void expert_output_sums_backward_kernel(T* d_rows, const double* gradient, const int32_t* position,
                                                   const int32_t* indices, const int32_t* targets, int64_t slots,
                                                   int64_t d, int64_t k) {
  const int64_t slot = warp_in_grid();
  if (slot >= slots || position[slot] < 0 || targets[slot / k] == kIgnoreTarget) return;
  const double* g = gradient + indices[slot] * d;
  T* out = d_rows + position[slot] * d;
  for (int64_t i = lane_index(); i < d; i += kWarp) store(out + i, load(out + i) + static_cast<float>(g[i]));
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void expert_output_sums(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position, ConstTensor indices,
                        ConstTensor targets) {
  const int64_t experts = sums.dim(0), d = sums.dim(1), slots = indices.size();
  ScratchScope scratch(ctx);
  double* partial = scratch.allocate(Shape{experts * d}, DType::f64).as<double>();
  int32_t* sorted = scratch.allocate(Shape{slots}, DType::i32).as<int32_t>();
  int32_t* offsets = scratch.allocate(Shape{experts + 1}, DType::i32).as<int32_t>();
  counting_sort(ctx, nullptr, sorted, offsets, SortKeys{indices.as<int32_t>(), nullptr, 0, -1}, slots, experts);
  for_type(rows.dtype, [&]<class T>(T) {
    launch(ctx, expert_output_sums_kernel<T>, blocks_for(experts * column_tiles(d), 1), kThreads,
           kThreads * sizeof(double), partial, rows.as<T>(), sorted, offsets, position.as<int32_t>(),
           targets.as<int32_t>(), d, indices.dim(1));
  });
  add_to_sums(ctx, {sums}, partial, experts * d, 1);
}

void expert_output_sums_backward(Context& ctx, Tensor d_rows, ConstTensor gradient, ConstTensor position,
                                 ConstTensor indices, ConstTensor targets) {
  const int64_t slots = indices.size();
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, gradient);
  for_type(d_rows.dtype, [&]<class T>(T) {
    launch(ctx, expert_output_sums_backward_kernel<T>, blocks_for(slots, kWarps), kThreads, 0, d_rows.as<T>(),
           here.as<double>(), position.as<int32_t>(), indices.as<int32_t>(), targets.as<int32_t>(), slots,
           d_rows.dim(1), indices.dim(1));
  });
}

}  // namespace moe::cuda
