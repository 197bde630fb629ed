// Rows that are grouped: of group g are those from offsets[g] on and before offsets[g + 1], offsets (groups + 1) i32. A
// buffer may have more of them, where the host does not know how many there are; those stand for nothing.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/tensor/tensor.h"

namespace moe {

// Where the number of rows in groups stands, in the memory of `offsets`; null without groups.
inline const int32_t* end_of_groups(ConstTensor offsets) {
  return offsets ? offsets.as<int32_t>() + offsets.size() - 1 : nullptr;
}

// Of `rows`, those in groups; all of them without groups. On the host.
inline int64_t rows_in_groups(int64_t rows, ConstTensor offsets) {
  const int32_t* end = end_of_groups(offsets);
  return end ? std::min<int64_t>(rows, *end) : rows;
}

}  // namespace moe
