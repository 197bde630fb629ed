// Chooses which rank holds which expert, as pure functions of measured numbers: every rank computes the same map from
// the same numbers.
#pragma once
#include <span>
#include <vector>

#include "core/moe/expert_map.h"

namespace moe {

// What was measured of a layer, and where its experts are now. All numbers are whole, so that their sums are exact;
// except where rows are divided among copies of experts.
struct PlacementInput {
  const ExpertMap& now;
  std::span<const double> rows;    // (experts) rows that each expert computed
  std::span<const double> pairs;   // (num_pairs(experts)) tokens that chose both experts; empty: not measured
  std::span<const int32_t> hosts;  // (ranks) the host of each rank; empty: each rank is treated as a host of its own
  std::span<const double>
      copies{};  // (ranks) rows that ranks compute for copies besides (core/moe/replicas.h); or none
};

// Unordered pairs of experts a < b are listed by b, then by a.
inline int64_t num_pairs(int64_t experts) {
  return experts * (experts - 1) / 2;
}
inline int64_t pair_index(int64_t a, int64_t b) {
  return a < b ? num_pairs(b) + a : num_pairs(a) + b;
}

// The rows of the busiest rank, relative to the mean over the ranks; 1 without rows.
double busiest_over_mean(const ExpertMap& map, std::span<const double> rows);
// The share of the pairs whose two experts are on the same host; 1 without pairs.
double share_together(const ExpertMap& map, const PlacementInput& input);

// A map whose busiest rank has the fewest rows, as far as it is found, to within 1 % of the mean. Experts in descending
// order of their rows go to the rank with the fewest rows so far that has room (longest processing time first; Graham,
// 1969), then experts are swapped between the busiest rank and another as long as that makes both less busy than it
// was. If such swaps alone lead from `now` to a map that is as good within that 1 %, it is taken instead, because fewer
// experts move; this is often `now` itself. Otherwise ranks are named so that many experts stay where they are.
ExpertMap balance_rows(const PlacementInput& input);

// A map that keeps the most pairs on the same host, as far as it is found and within 1 % of all pairs, in which no rank
// has more rows than 1 + `slack` times those of the busiest rank of the most even map. `now`, after the swaps that the
// bound asks for, is replaced only by a map that keeps more than 1 % more. Candidates are that map, the most even map
// and one that collects experts by their pairs, each improved by swaps of experts between hosts.
ExpertMap keep_together(const PlacementInput& input, double slack);

}  // namespace moe
