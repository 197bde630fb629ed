// Expert choices with a given imbalance.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>
#include "core/base/integer.h"

namespace moe::test {

struct Imbalance {
  std::string name;
  double ratio;              // assignments of expert 0 over the mean; at most experts / k
  bool spread = true;        // the other assignments are distributed over all other experts, else over the odd ones
  bool empty_slots = false;  // every third token leaves its last slot empty
};

// For `tokens` tokens with k of `experts` experts each: even, skewed, all to one expert, with unused experts, with
// empty slots.
inline std::vector<Imbalance> imbalances(int64_t experts, int64_t k) {
  const double most = static_cast<double>(experts) / static_cast<double>(k);
  return {{"ratio 1", 1},
          {"ratio 4", std::min(4.0, most)},
          {"all to one", most},
          {"half of the experts empty", 1, experts - 1 < 2 * k},
          {"empty slots", 1, true, true}};
}

// (tokens, k) distinct experts per token, -1 for an empty slot.
inline std::vector<int32_t> imbalanced_indices(int64_t tokens, int64_t k, int64_t experts, const Imbalance& wanted) {
  std::vector<int32_t> others;
  for (int32_t e = 1; e < experts; e += wanted.spread ? 1 : 2) others.push_back(e);
  const double share = std::min(1.0, wanted.ratio * static_cast<double>(k) / static_cast<double>(experts));
  std::vector<int32_t> indices;
  size_t next = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto t0 = static_cast<double>(t);
    const bool takes_first =
        static_cast<int64_t>(others.size()) < k || std::floor((t0 + 1) * share + 1e-9) > std::floor(t0 * share + 1e-9);
    for (int64_t j = 0; j < k; ++j) {
      indices.push_back(j == 0 && takes_first ? 0 : others[next++ % others.size()]);
    }
    if (wanted.empty_slots && t % 3 == 0) indices.back() = -1;
  }
  return indices;
}

// The largest number of assignments of an expert over the mean.
inline double imbalance_ratio(const std::vector<int32_t>& indices, int64_t experts) {
  std::vector<double> counts(static_cast<size_t>(experts));
  double total = 0;
  for (const int32_t e : indices) {
    if (e >= 0) counts[as_index(e)] += 1, total += 1;
  }
  return total == 0 ? 1 : *std::max_element(counts.begin(), counts.end()) * static_cast<double>(experts) / total;
}

}  // namespace moe::test
