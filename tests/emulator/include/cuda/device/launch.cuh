// The emulator's launch: the same checks, then the kernel runs to completion.
#pragma once
#include "core/tensor/context.h"
#include "cuda/device/queue.h"

namespace moe::cuda {

template <class... Parameters, class... Arguments>
void launch(const Context& ctx, void (*kernel)(Parameters...), dim3 grid, int block, size_t shared_bytes,
            Arguments... arguments) {
  if (ctx.planning || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  MOE_CHECK(block > 0 && block <= 1024 && block % 32 == 0 && grid.y <= 65535 && grid.z <= 65535,
            "a grid of {} x {} x {} blocks of {}", grid.x, grid.y, grid.z, block);
  MOE_CHECK(shared_bytes <= ctx.queue->info().shared_bytes_per_block, "{} bytes of shared memory", shared_bytes);
  static_cast<void>(ctx.queue->stream());  // counts as a submission
  emulator::run({grid.x, grid.y, grid.z}, {static_cast<unsigned>(block), 1, 1}, shared_bytes,
                [=]() MOE_UNWATCHED { kernel(static_cast<Parameters>(arguments)...); });
}

inline dim3 blocks_for(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  MOE_CHECK(blocks <= 2147483647, "{} blocks", blocks);
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace moe::cuda
