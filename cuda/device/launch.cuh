// The only way to launch a kernel. Checks the limits that the hardware enforces silently or late, and the launch.
#pragma once
#include "core/tensor/context.h"
#include "cuda/device/queue.h"

namespace moe::cuda {

// grid and block as in CUDA. `shared_bytes` is the dynamic shared memory; kernels have no other (kernel/ptx.cuh,
// shared_memory). Does nothing for an empty grid and while planning.
template <class... Parameters, class... Arguments>
void launch(const Context& ctx, void (*kernel)(Parameters...), dim3 grid, int block, size_t shared_bytes,
            Arguments... arguments) {
  if (ctx.planning || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  MOE_CHECK(block > 0 && block <= 1024 && grid.y <= 65535 && grid.z <= 65535, "a grid of {} x {} x {} blocks of {}",
            grid.x, grid.y, grid.z, block);
  if (shared_bytes > (size_t{48} << 10)) {
    MOE_CHECK(shared_bytes <= ctx.queue->info().shared_bytes_per_block, "{} bytes of shared memory, but {} has {}",
              shared_bytes, ctx.queue->info().name, ctx.queue->info().shared_bytes_per_block);
    CUDA_CHECK(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
  }
  kernel<<<grid, static_cast<unsigned>(block), shared_bytes, ctx.queue->stream()>>>(
      static_cast<Parameters>(arguments)...);
  CUDA_CHECK(cudaGetLastError());
}

// A grid with enough blocks for `items`, `per_block` in each. Throws InternalError when the number exceeds CUDA's
// limit.
inline dim3 blocks_for(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  MOE_CHECK(blocks <= 2147483647, "{} blocks; a grid has at most 2147483647", blocks);
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace moe::cuda
