// What attention remembers of the segments before: keys and values of the last positions of every row of the batch, for
// each layer. They are values without gradient, made by the weights of their time; a new segment's attention reads
// them, and afterwards they make room for its own.
#pragma once
#include <memory>

#include "core/config/model_config.h"
#include "core/tensor/context.h"

namespace moe {

// Of one row.
struct MemoryShape {
  int64_t layers = 0, positions = 0, width = 0;  // width: keys and values of a position
  static MemoryShape of(const ModelConfig& config);
  explicit operator bool() const { return positions > 0; }
};

class ContextMemory {
 public:
  // Of a model that remembers nothing.
  ContextMemory() = default;
  // Empty, for so many rows, in an arena of its own. Throws DeviceError when there is no room.
  ContextMemory(Context& ctx, const MemoryShape& shape, int64_t rows);

  explicit operator bool() const { return static_cast<bool>(shape_); }
  const MemoryShape& shape() const { return shape_; }
  int64_t rows() const { return rows_; }
  size_t bytes() const { return arena_ ? arena_->used() : 0; }

  // Positions that hold something, the same for all rows; the last ones of layer().
  int64_t filled() const { return filled_; }
  // (count, positions, width) of rows [first, first + count)
  Tensor layer(int64_t layer, int64_t first, int64_t count) const;

  void clear() { filled_ = 0; }
  // After every layer of every row got a segment of `time` tokens.
  void advance(int64_t time);

 private:
  MemoryShape shape_;
  int64_t rows_ = 0, filled_ = 0;
  std::unique_ptr<Arena> arena_;
  Tensor all_;  // (layers, rows, positions, width)
};

}  // namespace moe
