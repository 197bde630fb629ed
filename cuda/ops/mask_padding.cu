#include "core/ops/mask_padding.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __global__ void mask_padding_kernel(int32_t* ids, const int32_t* targets, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n && targets[i] == kIgnoreTarget) ids[i] = kIgnoreTarget;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void mask_padding(Context& ctx, Tensor ids, ConstTensor targets) {
  launch(ctx, mask_padding_kernel, blocks_for(ids.size(), kThreads), kThreads, 0, ids.as<int32_t>(),
         targets.as<int32_t>(), ids.size());
}

}  // namespace moe::cuda
