// Groups of a micro-batch's tokens that are routed together: group g has the tokens g * first + j * step, j < size.
#pragma once
#include <cstdint>

namespace moe {

struct TokenGroups {
  int64_t count = 0, size = 0;
  int64_t first = 0, step = 1;
};

}  // namespace moe
