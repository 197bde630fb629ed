// How one layer's tokens were distributed over its experts: sums over all scored tokens since the sums were cleared.
// They cover this rank's tokens until the trainer has reduced them, and the whole step's afterwards.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "core/moe/routing.h"
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"

namespace moe {

struct LoadStats {
  std::span<double> counts;       // (experts) assignments, including those dropped by a capacity
  std::span<double> importance;   // (experts) sums of gate weights
  std::span<double> probability;  // (experts) sums of router probabilities
  std::span<double> dropped;      // (experts) assignments that were dropped
  std::span<double> scalars;      // entropy of the router (nats), tokens
  std::span<double> pairs{};      // (num_pairs(experts)) tokens that chose both experts, by pair_index; mostly none
  // (modalities, experts) assignments of the tokens of each modality; none where there is one modality
  std::span<double> by_modality{};
  // After a step: the mean number of experts per token over the layers with RouterTraits::shares_target; else none.
  std::optional<double> shared_experts_per_token{};

  static size_t num_sums(int64_t experts) { return 4 * static_cast<size_t>(experts) + 2; }
  static LoadStats view(std::span<double> sums, int64_t experts);

  // Adds to all sums except the drops, which the capacity counts.
  void observe(Context& ctx, const Routing& routing, const TokenBatch& batch) const;

  double tokens() const { return scalars[1]; }
  double assignments() const;
  // (modalities, experts) each expert's share of the assignments of the modality's tokens; 0 without tokens.
  std::vector<std::vector<double>> modality_shares() const;
  double dropped_share() const;  // share of the assignments
  double mean_entropy() const { return tokens() > 0 ? scalars[0] / tokens() : 0; }
  double max_over_mean() const;  // largest over mean count; 1 at perfect balance
  int64_t dead() const;          // number of experts without any assignment
};

}  // namespace moe
