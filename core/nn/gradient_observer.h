// Called by the last backward pass of a step when gradients are complete.
#pragma once
#include <cstdint>

namespace moe {

struct Context;

class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  // The gradients of everything after the blocks are complete, except of what the beginning of the model uses too.
  virtual void before_blocks(Context& ctx) = 0;
  // The gradients of this block's parameters are complete. Blocks come in descending order.
  virtual void block_complete(Context& ctx, int64_t block) = 0;
};

}  // namespace moe
