// Grouped rows: group g has the rows [offsets[g], offsets[g + 1]), offsets (groups + 1) i32. A buffer may have more
// rows, because the host may not know their number; the rows after the last group are unused.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/tensor/tensor.h"

namespace moe {

// Pointer to the total number of rows in groups, the last element of `offsets`; null without groups.
inline const int32_t* end_of_groups(ConstTensor offsets) {
  return offsets ? offsets.as<int32_t>() + offsets.size() - 1 : nullptr;
}

// The number of the `rows` that are in groups; `rows` without groups. `offsets` must be on the host.
inline int64_t rows_in_groups(int64_t rows, ConstTensor offsets) {
  const int32_t* end = end_of_groups(offsets);
  return end ? std::min<int64_t>(rows, *end) : rows;
}

}  // namespace moe
