// Token ids with a meaning of their own.
#pragma once
#include <cstdint>

namespace moe {

inline constexpr int32_t kIgnoreTarget = -1;  // a position that is not scored: no loss, no gradient, in no statistic

}  // namespace moe
