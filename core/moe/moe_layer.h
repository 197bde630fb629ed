// A mixture-of-experts feed-forward layer: router, experts and balance losses, which a strategy combines, plus the
// shared experts.
#pragma once
#include <algorithm>
#include <cmath>
#include <optional>

#include "core/config/model_config.h"
#include "core/moe/expert_map.h"
#include "core/moe/replica_exchange.h"
#include "core/moe/replicas.h"
#include "core/moe/shared_experts.h"
#include "core/moe/strategy.h"

namespace moe {

class MoELayer : public FeedForward {
 public:
  // `context`: the layer's context. The members that it sets for its parts may be empty.
  explicit MoELayer(BuildContext context);

  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override;

  // All quantities that are summed over tokens, in one range, so that one reduction serves all layers.
  size_t num_sums() const { return sums_.size(); }
  void bind_sums(std::span<double> sums);
  // The layer's contribution to the training objective. The sums must be those of the whole step.
  double auxiliary_loss() const;
  bool needs_sums_before_backward() const;
  // Called when the losses (tokens) of the last forward() are known. Adds the layer's figures on them to its loss sums,
  // which are reduced like the others.
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const {
    capacity_.observe_losses(ctx, losses, targets);
  }
  size_t num_loss_sums() const { return loss_sums_.size(); }
  void bind_loss_sums(std::span<double> sums) { loss_sums_.bind(sums); }
  // Called after the optimizer's step, with the same arguments on every rank.
  void after_step(Context& ctx, const UpdateFacts& facts = {});

  int layer() const { return layer_; }
  const std::string& name() const { return name_; }  // the prefix of its parameters' names
  int64_t num_experts() const { return experts_; }
  const ExpertMap& expert_map() const { return map_; }
  // From now on the ranks of the expert group hold the experts by this map. The caller moves their values and states
  // (core/lifecycle/moved_experts.h); the layer must have been built with BuildContext::moves_experts. Drops all
  // copies.
  void place(const ExpertMap& map);
  // From now on ranks also hold these copies, at most BuildContext::replicas each; none: only their own experts. The
  // copies have no values before update_copies().
  void replicate(const Replicas& replicas);
  const Replicas& replicas() const { return replicas_; }
  // Gives the copies the present weights of their experts: after replicate(), and after every change of weights.
  // Collective over the expert group, as is the next.
  void update_copies(Context& ctx);
  // Adds the copies' gradients to those of their experts. Called once a step, before gradients are added over the ranks
  // of a data group.
  void add_copies_gradients(Context& ctx);
  // The number of parts in which rows travel between the ranks.
  int64_t parts() const { return hosts_ ? hosts_->inside().num_parts() : dispatcher_.num_parts(); }
  // Whether rows travel in two stages, and whether single outputs return then instead of a sum for each host.
  bool is_hierarchical() const { return hosts_.has_value(); }
  bool returns_single() const { return hosts_ && !hosts_->sums(); }
  const LoadStats& load() const { return load_; }
  // From now on copies the choices of every observed token to `record`, as it asks; nullptr stops the recording.
  void record_choices(RoutingRecord* record) { parts_.record = record; }
  // From now on appends the input (d_model) of every token to `list`; nullptr stops the recording.
  void record_inputs(std::vector<float>* list) { inputs_ = list; }
  // The outputs of all experts, also those on other ranks, for every token of x (tokens, d_model), on the host as
  // (experts, tokens, d_model). Collective over the expert group. For evaluation, between passes.
  std::vector<float> every_output(Context& ctx, ConstTensor x);
  const BalanceSet& balance() const { return balance_; }
  BalanceSet& balance() { return balance_; }
  const MeasureSet& measures() const { return measures_; }
  // Calls visit(name, mean or nullopt) for every figure and auxiliary loss of the layer's measures.
  template <class Visit>
  void for_each_measure(Visit visit) const {
    for (const MeasureSet* set : {&measures_, &loss_measures_}) {
      for (size_t i = 0; i < set->size(); ++i) visit(set->name(i), set->value(i));
    }
  }
  const CapacityLimit& capacity() const { return capacity_; }
  // The capacity's complete state.
  std::span<double> capacity_state() { return capacity_.state(); }
  Router& router() { return strategy_->router(); }
  void close_experts(ConstTensor closed) { strategy_->close_experts(closed); }
  Strategy& strategy() { return *strategy_; }
  const Strategy& strategy() const { return *strategy_; }
  const StrategyTraits& traits() const { return strategy_->traits(); }
  // Experts per token when the trained model is evaluated, rounded up; and the average number of passes through that
  // many experts in a training step.
  int64_t experts_per_token() const { return static_cast<int64_t>(std::ceil(traits().final_k)); }
  double training_passes() const {
    const RouterTraits& router = strategy_->router().traits();
    return traits().training_passes * router.mean_k / std::ceil(router.final_k);
  }
  // FLOPs of forward and backward of one token through one routed expert.
  double flops_per_assignment() const { return flops_per_assignment_; }
  // Includes the dependence on other tokens that the capacity causes.
  Causality causality() const { return std::max(traits().causality, capacity_.causality(false, traits().k)); }
  Causality training_causality() const {
    return std::max(traits().training_causality, capacity_.causality(true, traits().k));
  }

 private:
  // Whether something besides the tokens' weighted sums is computed from the experts' outputs.
  bool needs_outputs(const BuildContext& context) const;
  void make_hosts(const BuildContext& context);
  // Sends rows by map_ and replicas_.
  void use_places();
  // Called before a micro-batch's first pass.
  void begin(Context& ctx, const TokenBatch& batch, ConstTensor x);

  const std::string name_;
  const int layer_;
  const int64_t experts_;
  double flops_per_assignment_;
  LayerSums sums_;
  LayerSums::Range load_range_, pair_range_, modality_range_;
  MeasureSet measures_;
  LayerSums loss_sums_;
  MeasureSet loss_measures_;
  std::unique_ptr<Strategy> strategy_;
  const int expert_rank_;  // this rank's index in its expert group
  const bool moves_experts_;
  const int64_t room_;  // for copies, on each rank
  ExpertMap map_;
  Replicas replicas_;
  ReplicaExchange exchange_;
  TokenDispatcher dispatcher_;
  std::optional<HostDispatcher> hosts_;
  Experts local_experts_;
  BalanceSet balance_;
  LoadStats load_;
  CapacityLimit capacity_;
  OutputDropout dropout_;
  LayerParts parts_;
  std::vector<float>* inputs_ = nullptr;
  std::optional<SharedExperts> shared_;
};

}  // namespace moe
