#include "core/nn/context_memory.h"

#include <algorithm>

#include "core/ops/elementwise.h"

namespace moe {

MemoryShape MemoryShape::of(const ModelConfig& config) {
  if (config.attention.memory == 0) return {};
  return {config.layers, config.attention.memory, 2 * config.kv_heads() * config.d_head()};
}

ContextMemory::ContextMemory(Context& ctx, const MemoryShape& shape, int64_t rows) : shape_(shape), rows_(rows) {
  if (!shape) return;
  const Shape size{shape.layers, rows, shape.positions, shape.width};
  const size_t bytes = static_cast<size_t>(size.size()) * size_of(ctx.dtype) + 512;  // plus alignment
  arena_ = std::make_unique<Arena>(ctx.planning ? Arena::planning("memory", ctx.device)
                                                : Arena("memory", ctx.device, bytes, ctx.managed));
  all_ = arena_->allocate(size, ctx.dtype);
  if (!ctx.planning) fill_zero(ctx, all_);  // append_recent also moves positions that are not in use yet
}

Tensor ContextMemory::layer(int64_t layer, int64_t first, int64_t count) const {
  return all_.slice(layer, 1).reshape(Shape{rows_, shape_.positions, shape_.width}).slice(first, count);
}

void ContextMemory::advance(int64_t time) {
  filled_ = std::min(shape_.positions, filled_ + time);
}

}  // namespace moe
