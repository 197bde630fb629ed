// The values of model.recompute, from the most memory to the least.
#pragma once
#include <string>
#include <vector>

namespace moe {

inline const std::vector<std::string>& recompute_values() {
  static const std::vector<std::string> values = {"none", "experts", "blocks"};
  return values;
}

}  // namespace moe
