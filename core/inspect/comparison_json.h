// The comparison for other programs.
#pragma once

#include "core/base/json.h"
#include "core/inspect/comparison.h"

namespace moe {

constexpr int kComparisonSchema = 1;

Json comparison_json(const Comparison& comparison);

}  // namespace moe
