// A mixture-of-experts feed-forward layer: router, experts and balance losses, put to use by a strategy, plus the
// experts that every token shares.
#pragma once
#include <algorithm>
#include <cmath>

#include "core/config/model_config.h"
#include "core/moe/strategy.h"

namespace moe {

class MoELayer : public FeedForward {
 public:
  // `context`: the layer's, without what it adds for its parts.
  explicit MoELayer(BuildContext context);

  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override;

  // Everything that is summed over tokens, in one range, so that one reduction serves all layers.
  size_t num_sums() const { return sums_.size(); }
  void bind_sums(std::span<double> sums);
  // Once the sums are those of the whole step: what the layer adds to the training objective.
  double auxiliary_loss() const;
  bool needs_sums_before_backward() const;
  // Once the losses (tokens) of the last forward() are known: adds what they say of the layer to its loss sums, which
  // are reduced like the others.
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const {
    capacity_.observe_losses(ctx, losses, targets);
  }
  size_t num_loss_sums() { return capacity_.loss_sums().size(); }
  void bind_loss_sums(std::span<double> sums) { capacity_.loss_sums().bind(sums); }
  // After the optimizer's step; the same on every rank.
  void after_step(Context& ctx, const UpdateFacts& facts = {});

  int layer() const { return layer_; }
  const std::string& name() const { return name_; }  // the prefix of its parameters' names
  int64_t num_experts() const { return experts_; }
  const LoadStats& load() const { return load_; }
  // From now on every observed token's choices are appended to `list`, traits().k each; nullptr ends it.
  void record_choices(std::vector<int32_t>* list) { load_.choices = list; }
  // From now on the input (d_model) of every token is appended to `list`; nullptr ends it.
  void record_inputs(std::vector<float>* list) { inputs_ = list; }
  const BalanceSet& balance() const { return balance_; }
  BalanceSet& balance() { return balance_; }
  const MeasureSet& measures() const { return measures_; }
  // visit(name, mean or nothing) for every figure and own loss of the layer.
  template <class Visit>
  void for_each_measure(Visit visit) const {
    for (const MeasureSet* set : {&measures_, &capacity_.measures()}) {
      for (size_t i = 0; i < set->size(); ++i) visit(set->name(i), set->value(i));
    }
  }
  const CapacityLimit& capacity() const { return capacity_; }
  // All that the capacity remembers of earlier updates.
  std::span<double> capacity_state() { return capacity_.state(); }
  Router& router() { return strategy_->router(); }
  void close_experts(ConstTensor closed) { strategy_->close_experts(closed); }
  Strategy& strategy() { return *strategy_; }
  const Strategy& strategy() const { return *strategy_; }
  const StrategyTraits& traits() const { return strategy_->traits(); }
  // At evaluation of the trained model, rounded up; and how often a training step multiplies by so many, on average.
  int64_t experts_per_token() const { return static_cast<int64_t>(std::ceil(traits().final_k)); }
  double training_passes() const {
    const RouterTraits& router = strategy_->router().traits();
    return traits().training_passes * router.mean_k / std::ceil(router.final_k);
  }
  // Of the routed experts: forward and backward of one token through one of them.
  double flops_per_assignment() const { return flops_per_assignment_; }
  // With what its capacity makes a token depend on.
  Causality causality() const { return std::max(traits().causality, capacity_.causality(false, traits().k)); }
  Causality training_causality() const {
    return std::max(traits().training_causality, capacity_.causality(true, traits().k));
  }

 private:
  const std::string name_;
  const int layer_;
  const int64_t experts_;
  double flops_per_assignment_;
  LayerSums sums_;
  LayerSums::Range load_range_;
  MeasureSet measures_;
  std::unique_ptr<Strategy> strategy_;
  TokenDispatcher dispatcher_;
  Experts local_experts_;
  BalanceSet balance_;
  LoadStats load_;
  CapacityLimit capacity_;
  OutputDropout dropout_;
  LayerParts parts_;
  std::vector<float>* inputs_ = nullptr;
  std::unique_ptr<DenseFeedForward> shared_;  // one layer as wide as all shared experts together
};

}  // namespace moe
