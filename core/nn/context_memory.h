// The context memory of attention: keys and values of the last positions of previous segments, for every row of the
// batch and each layer. They have no gradient and were computed with the weights at that time. The attention of a new
// segment reads them, and afterwards the segment's keys and values replace the oldest.
#pragma once
#include <memory>

#include "core/config/model_config.h"
#include "core/tensor/context.h"

namespace moe {

// Size of one row's context memory.
struct MemoryShape {
  int64_t layers = 0, positions = 0, width = 0;  // width: elements of a position's keys and values
  static MemoryShape of(const ModelConfig& config);
  explicit operator bool() const { return positions > 0; }
};

class ContextMemory {
 public:
  // For a model without context memory.
  ContextMemory() = default;
  // An empty memory for `rows` rows, in a separate arena. Throws DeviceError if the allocation fails.
  ContextMemory(Context& ctx, const MemoryShape& shape, int64_t rows);

  explicit operator bool() const { return static_cast<bool>(shape_); }
  const MemoryShape& shape() const { return shape_; }
  int64_t rows() const { return rows_; }
  size_t bytes() const { return arena_ ? arena_->used() : 0; }

  // Number of positions in use, the same for all rows. They are the last ones of layer().
  int64_t filled() const { return filled_; }
  // Rows [first, first + count) of a layer, (count, positions, width).
  Tensor layer(int64_t layer, int64_t first, int64_t count) const;

  void clear() { filled_ = 0; }
  // Must be called after a segment of `time` tokens has been appended to every layer and row.
  void advance(int64_t time);

 private:
  MemoryShape shape_;
  int64_t rows_ = 0, filled_ = 0;
  std::unique_ptr<Arena> arena_;
  Tensor all_;  // (layers, rows, positions, width)
};

}  // namespace moe
