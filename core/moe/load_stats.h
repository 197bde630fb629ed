// How one layer's tokens were spread over its experts: sums over all tokens seen since they were cleared, first of this
// rank, then, after the trainer has reduced them, of the whole step.
#pragma once
#include <span>
#include <vector>

#include "core/moe/routing.h"
#include "core/tensor/context.h"

namespace moe {

struct LoadStats {
  std::span<double> counts;                 // (experts) assignments, those that a capacity dropped among them
  std::span<double> importance;             // (experts) sums of gate weights
  std::span<double> probability;            // (experts) sums of router probabilities
  std::span<double> dropped;                // (experts) assignments that were dropped
  std::span<double> scalars;                // entropy of the router (nats), tokens
  std::vector<int32_t>* choices = nullptr;  // where observe() appends every token's indices, if anywhere

  static size_t num_sums(int64_t experts) { return 4 * static_cast<size_t>(experts) + 2; }
  static LoadStats view(std::span<double> sums, int64_t experts);

  // All but the drops, which the capacity counts.
  void observe(Context& ctx, const Routing& routing, ConstTensor targets) const;

  double tokens() const { return scalars[1]; }
  double assignments() const;
  double dropped_share() const;  // of the assignments
  double mean_entropy() const { return tokens() > 0 ? scalars[0] / tokens() : 0; }
  double max_over_mean() const;  // 1 at perfect balance
  int64_t dead() const;          // experts without any assignment
};

}  // namespace moe
