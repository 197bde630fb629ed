// parallel.all_to_all: how an MoE layer's rows travel between the ranks of an expert group.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

namespace moe {

enum class AllToAll {
  direct,        // from the token's rank to the expert's
  hierarchical,  // once to each host, and on from there
  automatic,     // hierarchical where tokens choose several experts on several hosts
};

// The values of the key, in the order of the enumeration.
inline const std::vector<std::string>& all_to_all_values() {
  static const std::vector<std::string> values = {"direct", "hierarchical", "auto"};
  return values;
}

inline AllToAll all_to_all_from(const std::string& value) {
  const std::vector<std::string>& values = all_to_all_values();
  return static_cast<AllToAll>(std::find(values.begin(), values.end(), value) - values.begin());
}

}  // namespace moe
