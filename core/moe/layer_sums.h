// All quantities of one MoE layer that are summed over tokens. The layer's parts (load, balance losses, measures)
// reserve ranges when they are built; the trainer adds all layers' sums over ranks and micro-batches in one reduction.
#pragma once
#include <span>

#include "core/base/check.h"

namespace moe {

class LayerSums {
 public:
  struct Range {
    size_t begin = 0, count = 0;
  };

  // Must be called before bind().
  Range reserve(size_t count) {
    MOE_CHECK(sums_.empty(), "cannot reserve a range of {} sums after bind()", count);
    const Range range{size_, count};
    size_ += count;
    return range;
  }
  size_t size() const { return size_; }

  // Sets the memory, which its owner clears and reduces.
  void bind(std::span<double> sums) {
    MOE_CHECK(sums.size() == size_, "got memory for {} sums, expected {}", sums.size(), size_);
    sums_ = sums;
  }
  std::span<double> of(Range range) const { return sums_.subspan(range.begin, range.count); }

 private:
  size_t size_ = 0;
  std::span<double> sums_;
};

}  // namespace moe
