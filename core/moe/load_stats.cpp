#include "core/moe/load_stats.h"

#include <algorithm>
#include <numeric>

#include "comm/communicator.h"
#include "core/ops/modality.h"
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

void LoadStats::observe(Context& ctx, const Routing& routing, const TokenBatch& batch) const {
  const ConstTensor targets = batch.targets;
  assignment_sums(ctx, as_tensor(counts), as_tensor(importance), routing.indices, routing.weights, targets);
  column_sums(ctx, as_tensor(probability), routing.probabilities, targets);
  entropy_sum(ctx, as_tensor(scalars.first(1)), routing.probabilities, targets);
  token_sum(ctx, as_tensor(scalars.last(1)), targets);
  if (!pairs.empty()) pair_sums(ctx, as_tensor(pairs), routing.indices, targets);
  if (by_modality.empty()) return;
  ScratchScope scratch(ctx);
  const Tensor own = scratch.allocate(Shape{batch.tokens()}, DType::i32);
  for (int64_t m = 0; m < batch.modalities; ++m) {
    modality_targets(ctx, own, targets, {.modality = m, .modalities = batch.modalities, .time = batch.time});
    assignment_sums(ctx, as_tensor(by_modality.subspan(static_cast<size_t>(m) * counts.size(), counts.size())), {},
                    routing.indices, routing.weights, own);
  }
}

double LoadStats::assignments() const {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::vector<std::vector<double>> LoadStats::modality_shares() const {
  std::vector<std::vector<double>> shares;
  for (size_t begin = 0; begin < by_modality.size(); begin += counts.size()) {
    const std::span<double> own = by_modality.subspan(begin, counts.size());
    const double total = std::max(std::accumulate(own.begin(), own.end(), 0.0), 1.0);
    std::vector<double>& list = shares.emplace_back();
    for (const double count : own) list.push_back(count / total);
  }
  return shares;
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
