// Applies a layer's capacity: which of a routing's assignments are dispatched, how many were dropped, and the losses of
// the tokens that lost one.
#pragma once
#include <memory>
#include <vector>

#include "core/moe/capacity.h"
#include "core/moe/load_stats.h"

namespace moe {

class CapacityLimit {
 public:
  // Drops are counted in `load`. Throws the capacity's UsageError.
  CapacityLimit(const BuildContext& setup, LoadStats& load);

  // Must be called before a layer's passes over a micro-batch. `k`: the number of experts per token at this update.
  void begin(Context& ctx, const TokenBatch& batch, double k);

  // The part of a routing that is dispatched: all of it if there is no bound.
  struct Kept {
    ConstTensor indices;          // (tokens, slots) i32: -1 for an empty slot and for a dropped assignment
    ConstTensor weights;          // (tokens, slots)
    int64_t most_per_expert = 0;  // in this micro-batch; 0 = unknown
  };
  Kept keep(Context& ctx, const TokenBatch& batch, const Routing& routing);
  // d_weights (tokens, slots): the gradient of kept.weights on entry, of the routing's on return
  void backward(Context& ctx, Tensor d_weights, const Kept& kept, const Routing& routing) const;

  // Whether there is a bound for the micro-batch that begin() was called for.
  bool limits() const { return factor_ > 0; }
  // Adds the losses (tokens) of the last micro-batch to the layer's measures of losses, separately for tokens that lost
  // an assignment and tokens that did not.
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const;

  // Called after an update, when its sums are complete; the same on every rank.
  void after_step(const UpdateFacts& update);
  std::span<double> state() { return capacity_->state(); }

  // Whether there is a bound in training, and at evaluation.
  bool trains_bounded() const { return capacity_->largest() > 0; }
  bool evaluates_bounded() const { return capacity_->options().evaluation > 0; }
  // Which other tokens a token's output depends on because of the bound, with `slots` slots per token.
  Causality causality(bool training, int64_t slots) const;

 private:
  GroupRoom room(double factor, double k) const;
  // Adds up the scored tokens' assignments that were dropped.
  void count_drops(Context& ctx, const TokenBatch& batch, const Routing& routing, ConstTensor kept);
  // Adds up what would be dropped with each candidate for the factor. The lengths of `groups` must be on the host.
  void try_candidates(Context& ctx, ConstTensor demand, const TokenGroups& groups);

  const int64_t experts_;
  const std::unique_ptr<Capacity> capacity_;
  const DropRule rule_;
  LoadStats& load_;
  LayerSums* sums_;
  LayerSums::Range candidate_range_;
  MeasureSet* measures_;
  size_t capacity_figure_ = 0, dropped_figure_ = 0;
  MeasureSet* loss_measures_;
  size_t lost_tokens_figure_ = 0, lost_loss_figure_ = 0, kept_loss_figure_ = 0;

  // Of the current micro-batch.
  double factor_ = 0, k_ = 0;
  Tensor lost_;  // (tokens) i32: assignments that a token lost in all passes
  std::vector<char> buffer_;
  std::vector<double> assignments_;  // (2, experts): wanted, kept
};

}  // namespace moe
