#include "core/moe/moe_layer.h"

#include "core/ops/elementwise.h"
#include "core/tensor/copy.h"

namespace moe {

LayerSetup MoELayer::strategy_setup(const std::string& name, const Setup& s) {
  return {s.parameters,
          sums_,
          measures_,
          s.config,
          name,
          s.layer,
          s.moe_layer,
          s.moe_layers,
          s.expert_shape.d_model,
          s.config.experts,
          s.vocab,
          s.router_std,
          s.run,
          s.trains,
          s.expert_shape.bias,
          {}};
}

// Shared experts are as s.expert_shape says, like dense layers; routed ones drop by themselves.
static FeedForwardShape routed_shape(const MoELayer::Setup& s) {
  FeedForwardShape shape = s.expert_shape;
  shape.hidden_dropout = s.config.hidden_dropout.make(s.run);
  return shape;
}

MoELayer::MoELayer(const std::string& name, const Setup& s)
    : name_(name),
      layer_(s.layer),
      experts_(s.config.experts),
      flops_per_assignment_(6.0 * static_cast<double>((width_factor(s.expert_shape.activation) + 1) *
                                                      s.expert_shape.d_ff * s.expert_shape.d_model)),
      load_range_(sums_.reserve(LoadStats::num_sums(experts_))),
      measures_(sums_),
      strategy_(s.config.strategy.make(strategy_setup(name, s))),
      dispatcher_(s.groups, experts_),
      local_experts_(s.parameters, name, s.groups.local_experts(experts_).begin, s.groups.local_experts(experts_).count,
                     routed_shape(s), s.layer, s.config.expert_init == "small"),
      balance_(sums_, s.config.balance, {experts_, s.expert_shape.d_model, s.config.router.kind(), s.run}),
      capacity_(strategy_setup(name, s), load_),
      dropout_{s.config.dropout.make(s.run), s.layer},
      parts_{dispatcher_, local_experts_, balance_, load_, capacity_, dropout_} {
  if (strategy_->bounds_load() && (capacity_.trains_bounded() || capacity_.evaluates_bounded())) {
    raise<UsageError>(
        "moe.capacity: {} does not go with a router whose experts take a stated number of tokens anyway, as in "
        "strategy {} with router {}",
        s.config.capacity.kind(), s.config.strategy.kind(), s.config.router.kind());
  }
  if (s.config.shared_experts > 0) {
    FeedForwardShape shape = s.expert_shape;
    shape.d_ff *= s.config.shared_experts;
    shared_ = std::make_unique<DenseFeedForward>(s.parameters, name + ".shared", shape, s.layer);
  }
}

void MoELayer::bind_sums(std::span<double> sums) {
  sums_.bind(sums);
  load_ = LoadStats::view(sums_.of(load_range_), experts_);
}

double MoELayer::auxiliary_loss() const {
  const BalanceSet* own = strategy_->own_balance();
  return balance_.weighted_value() + measures_.weighted_value() + (own ? own->weighted_value() : 0);
}

bool MoELayer::needs_sums_before_backward() const {
  const BalanceSet* own = strategy_->own_balance();
  return balance_.needs_whole_step() || (own && own->needs_whole_step());
}

void MoELayer::after_step(Context& ctx, const UpdateFacts& facts) {
  strategy_->after_step(ctx, load_);
  if (!ctx.planning) capacity_.after_step(facts);
}

Tensor MoELayer::forward(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  if (inputs_) append_floats(ctx, *inputs_, x);
  balance_.begin(ctx);
  measures_.begin(ctx);
  capacity_.begin(ctx, batch, strategy_->k_at(ctx.step));
  const Tensor y = strategy_->forward(ctx, parts_, batch, x);
  if (shared_) add(ctx, y, y, shared_->forward(ctx, batch, x));
  return y;
}

void MoELayer::backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) {
  strategy_->backward(ctx, parts_, batch, d_x, d_y);
  if (!shared_) return;
  ScratchScope scratch(ctx);
  const Tensor d_shared = scratch.allocate(d_x.shape);
  shared_->backward(ctx, batch, d_shared, d_y);
  add(ctx, d_x, d_x, d_shared);
}

}  // namespace moe
