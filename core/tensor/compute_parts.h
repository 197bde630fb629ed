// The parts of a model whose computing takes most of a step. It can be measured, or replaced by waiting as long as it
// was measured to take, so that many ranks can run on few cores (moe-bench step --compute).
#pragma once
#include <array>
#include <cstdint>

#include "core/tensor/context.h"

namespace moe {

enum class ComputePart { attention, feed_forward, experts, head, update };
enum class ComputeDirection { forward, backward };  // the head's loss and backward, and the update, count as forward

class ComputeParts {
 public:
  // Of one part in one direction.
  struct Work {
    double seconds = 0;
    double rows = 0;  // tokens, assignments or, of the update, elements
    double per_row() const { return rows > 0 ? seconds / rows : 0; }
  };
  static constexpr size_t kParts = 5;
  using Table = std::array<std::array<Work, 2>, kParts>;

  // Measures.
  ComputeParts() = default;
  // Replaces every part by waiting for its Work::per_row() times the rows.
  explicit ComputeParts(const Table& stands_for) : stands_for_(stands_for), replaces_(true) {}

  bool replaces() const { return replaces_; }
  const Table& measured() const { return measured_; }  // also when replacing
  Work& work(ComputePart part, ComputeDirection direction) {
    return measured_[static_cast<size_t>(part)][static_cast<size_t>(direction)];
  }
  double seconds_per_row(ComputePart part, ComputeDirection direction) const {
    return stands_for_[static_cast<size_t>(part)][static_cast<size_t>(direction)].per_row();
  }
  void clear() { measured_ = {}; }

 private:
  friend class ComputeScope;
  Table measured_{}, stands_for_{};
  bool replaces_ = false;
  bool inside_ = false;  // of a scope: only the outermost counts
};

// Computing of one part, as long as the scope lasts. Does nothing without ctx.compute.
class ComputeScope {
 public:
  ComputeScope(Context& ctx, ComputePart part, ComputeDirection direction, int64_t rows)
      : ctx_(ctx.compute && !ctx.planning ? &ctx : nullptr), part_(part), direction_(direction), rows_(rows) {
    if (ctx_) begin();
  }
  ~ComputeScope() {
    if (ctx_) end();
  }
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

 private:
  void begin();
  void end();

  Context* ctx_;
  ComputePart part_;
  ComputeDirection direction_;
  int64_t rows_;
  double start_ = 0;
};

}  // namespace moe
