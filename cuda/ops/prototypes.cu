#include "core/ops/prototypes.h"

#include "core/base/token.h"
#include "core/tensor/copy.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __global__ void expert_labels_kernel(int32_t* labels, const int32_t* indices, const int32_t* source,
                                            const int32_t* targets, int64_t rows, int64_t k) {
  const int64_t r = thread_in_grid();
  if (r >= rows) return;
  const int32_t slot = source[r];
  labels[r] = slot < 0 || targets[slot / k] == kIgnoreTarget ? kIgnoreTarget : indices[slot];
}

// One block per expert.
static __global__ void update_prototypes_kernel(float* prototypes, const double* sums, const double* counts, int64_t d,
                                                double decay) {
  int* slots = &shared_memory<int>();
  const double count = counts[blockIdx.x];
  if (count == 0) return;  // the same for the whole block
  float* row = prototypes + blockIdx.x * d;
  const double* sum = sums + blockIdx.x * d;
  int set = 0;
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) set += row[i] != 0;
  const double keep = block_sum(set, slots) > 0 ? decay : 0;
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
    row[i] = static_cast<float>(keep * static_cast<double>(row[i]) + (1 - keep) * sum[i] / count);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// Unlike on the CPU, some rows may belong to no assignment; their label is kIgnoreTarget.
void expert_labels(Context& ctx, Tensor labels, ConstTensor indices, ConstTensor source, ConstTensor targets) {
  const int64_t rows = labels.dim(0);
  launch(ctx, expert_labels_kernel, blocks_for(rows, kThreads), kThreads, 0, labels.as<int32_t>(),
         indices.as<int32_t>(), source.as<int32_t>(), targets.as<int32_t>(), rows, indices.dim(1));
}

void update_prototypes(Context& ctx, Tensor prototypes, ConstTensor sums, ConstTensor counts, double decay) {
  ScratchScope scratch(ctx);
  const ConstTensor sums_here = on_device(ctx, scratch, sums), counts_here = on_device(ctx, scratch, counts);
  launch(ctx, update_prototypes_kernel, blocks_for(prototypes.dim(0), 1), kThreads, 32 * sizeof(int),
         prototypes.as<float>(), sums_here.as<double>(), counts_here.as<double>(), prototypes.dim(1), decay);
}

}  // namespace moe::cuda
