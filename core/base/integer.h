// Arithmetic with counts and sizes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/host_device.h"

namespace moe {

// count / unit, rounded up. The count must not be negative, the unit must be positive.
MOE_HOST_DEVICE constexpr int64_t divide_up(int64_t count, int64_t unit) {
  return (count + unit - 1) / unit;
}

// The smallest multiple of the unit that is not smaller than the count.
MOE_HOST_DEVICE constexpr int64_t round_up(int64_t count, int64_t unit) {
  return divide_up(count, unit) * unit;
}

// A position or an enumerator, which must not be negative, as the index that standard containers take.
template <class Position>
MOE_HOST_DEVICE constexpr size_t as_index(Position position) {
  return static_cast<size_t>(position);
}

}  // namespace moe
