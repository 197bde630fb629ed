// Token ids with a special meaning.
#pragma once
#include <cstdint>

namespace moe {

// A position that is not scored: no loss, no gradient, excluded from all statistics.
inline constexpr int32_t kIgnoreTarget = -1;

}  // namespace moe
