#include "core/moe/load_stats.h"

#include <algorithm>
#include <numeric>

#include "comm/communicator.h"
#include "core/ops/routing_sums.h"

namespace moe {

LoadStats LoadStats::view(std::span<double> sums, int64_t experts) {
  const auto n = static_cast<size_t>(experts);
  return {.counts = sums.first(n),
          .importance = sums.subspan(n, n),
          .probability = sums.subspan(2 * n, n),
          .dropped = sums.subspan(3 * n, n),
          .scalars = sums.subspan(4 * n, 2)};
}

void LoadStats::observe(Context& ctx, const Routing& routing, ConstTensor targets) const {
  assignment_sums(ctx, as_tensor(counts), as_tensor(importance), routing.indices, routing.weights, targets);
  column_sums(ctx, as_tensor(probability), routing.probabilities, targets);
  entropy_sum(ctx, as_tensor(scalars.first(1)), routing.probabilities, targets);
  token_sum(ctx, as_tensor(scalars.last(1)), targets);
  if (!pairs.empty()) pair_sums(ctx, as_tensor(pairs), routing.indices, targets);
}

double LoadStats::assignments() const {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

double LoadStats::dropped_share() const {
  const double total = assignments();
  return total > 0 ? std::accumulate(dropped.begin(), dropped.end(), 0.0) / total : 0;
}

double LoadStats::max_over_mean() const {
  const double total = assignments();
  if (total == 0) return 1;
  return *std::max_element(counts.begin(), counts.end()) * static_cast<double>(counts.size()) / total;
}

int64_t LoadStats::dead() const {
  return std::count(counts.begin(), counts.end(), 0.0);
}

}  // namespace moe
