#include "core/nn/key_value_cache.h"

namespace moe {

KeyValueCache::KeyValueCache(Context& ctx, int64_t layers, int64_t rows, int64_t positions, int64_t width) {
  const Shape size{layers, rows, positions, width};
  const size_t bytes = static_cast<size_t>(size.size()) * size_of(ctx.dtype) + 512;  // plus alignment
  arena_ = std::make_unique<Arena>("key-value cache", ctx.device, bytes, ctx.managed);
  all_ = arena_->allocate(size, ctx.dtype);
}

Tensor KeyValueCache::layer(int64_t layer) const {
  return all_.slice(layer, 1).reshape(Shape{all_.dim(1), all_.dim(2), all_.dim(3)});
}

}  // namespace moe
