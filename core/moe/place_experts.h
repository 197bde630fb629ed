// Chooses which rank holds which expert, as pure functions of measured numbers: every rank computes the same map from
// the same numbers.
#pragma once
#include <span>
#include <vector>

#include "core/moe/expert_map.h"

namespace moe {

// What was measured of a layer, and where its experts are now. All numbers are whole, so that their sums are exact.
struct PlacementInput {
  const ExpertMap& now;
  std::span<const double> rows;    // (experts) rows that each expert computed
  std::span<const double> pairs;   // (num_pairs(experts)) tokens that chose both experts; empty: not measured
  std::span<const int32_t> hosts;  // (ranks) the host of each rank; empty: each rank is treated as a host of its own
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

// The map whose busiest rank has the fewest rows, as far as it is found: experts in descending order of their rows go
// to the rank with the fewest rows so far that has room (longest processing time first; Graham, 1969), then experts are
// swapped between the busiest rank and another as long as that makes both less busy than it was. Ranks are named so
// that many experts stay where they are. Returns `now` if it is as good within 1 % of the mean.
ExpertMap balance_rows(const PlacementInput& input);

// The map that keeps the most pairs on the same host, as far as it is found, if no rank gets more rows than 1 + `slack`
// times those of the busiest rank of balance_rows() (or of the mean, if that is more). Two first maps, the balanced one
// and one that collects experts by their pairs, are improved by swaps; the better one is taken. Returns `now` if it
// satisfies the bound and keeps as many pairs within 1 % of all.
ExpertMap keep_together(const PlacementInput& input, double slack);

}  // namespace moe
