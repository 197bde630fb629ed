// Keys and values of the tokens that a model has read, for every layer and each text, so that the next token is
// computed alone (core/ops/cached_attention.h). For models without context memory, which is such a cache itself.
#pragma once
#include <memory>

#include "core/tensor/context.h"

namespace moe {

class KeyValueCache {
 public:
  // For `rows` texts of up to `positions` tokens, in a separate arena; `width`: elements of a position's keys and
  // values in a layer. Throws DeviceError if the allocation fails.
  KeyValueCache(Context& ctx, int64_t layers, int64_t rows, int64_t positions, int64_t width);

  int64_t positions() const { return all_.dim(2); }
  size_t bytes() const { return arena_->used(); }
  Tensor layer(int64_t layer) const;  // (rows, positions, width)

 private:
  std::unique_ptr<Arena> arena_;
  Tensor all_;  // (layers, rows, positions, width)
};

}  // namespace moe
