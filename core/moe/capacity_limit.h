// A layer's capacity put to use: which of a routing's assignments are dispatched, what was dropped and whom it hit.
#pragma once
#include <memory>
#include <vector>

#include "core/moe/capacity.h"
#include "core/moe/load_stats.h"

namespace moe {

class CapacityLimit {
 public:
  // `load`: where drops are counted. Throws UsageError as the capacity does.
  CapacityLimit(const BuildContext& setup, LoadStats& load);

  // Before a layer's passes over a micro-batch; `k`: experts that a token is meant to go to at this update.
  void begin(Context& ctx, const TokenBatch& batch, double k);

  // What of a routing is dispatched. Without a bound it is all.
  struct Kept {
    ConstTensor indices;          // (tokens, slots) i32: -1 where an assignment was dropped too
    ConstTensor weights;          // (tokens, slots)
    int64_t most_per_expert = 0;  // of this micro-batch; 0 = unknown
  };
  Kept keep(Context& ctx, const TokenBatch& batch, const Routing& routing);
  // d_weights (tokens, slots): the gradient of kept.weights on entry, of the routing's on return
  void backward(Context& ctx, Tensor d_weights, const Kept& kept, const Routing& routing) const;

  // Of the micro-batch that begin() was called for.
  bool limits() const { return factor_ > 0; }
  // Adds the losses (tokens) of the last micro-batch's tokens, told apart by whether they lost an assignment, to
  // measures().
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const;
  // Figures of the losses, whose sums are complete later than the routing's.
  const MeasureSet& measures() const { return loss_measures_; }
  LayerSums& loss_sums() { return loss_sums_; }

  // After an update whose sums are complete; the same on every rank.
  void after_step(const UpdateFacts& update);
  std::span<double> state() { return capacity_->state(); }

  // Whether there is a bound in training, and at evaluation.
  bool trains_bounded() const { return capacity_->largest() > 0; }
  bool evaluates_bounded() const { return capacity_->options().evaluation > 0; }
  // What a token's output depends on because of the bound, with so many slots per token.
  Causality causality(bool training, int64_t slots) const;

 private:
  GroupRoom room(double factor, double k) const;
  // `groups` with lengths on the host.
  void count_drops(Context& ctx, ConstTensor demand, const TokenGroups& groups);

  const int64_t experts_;
  const std::unique_ptr<Capacity> capacity_;
  const DropRule rule_;
  LoadStats& load_;
  LayerSums* sums_;
  LayerSums::Range candidate_range_;
  MeasureSet* measures_;
  size_t capacity_figure_ = 0, dropped_figure_ = 0;
  LayerSums loss_sums_;
  MeasureSet loss_measures_;
  size_t lost_tokens_figure_ = 0, lost_loss_figure_ = 0, kept_loss_figure_ = 0;

  // Of the micro-batch at hand.
  double factor_ = 0, k_ = 0;
  Tensor lost_;  // (tokens) i32: assignments that a token lost in all passes
  std::vector<char> buffer_;
};

}  // namespace moe
