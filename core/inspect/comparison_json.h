// The comparison for other programs.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/inspect/comparison.h"

namespace moe {

constexpr int kComparisonSchema = 1;

nlohmann::ordered_json comparison_json(const Comparison& comparison);

}  // namespace moe
