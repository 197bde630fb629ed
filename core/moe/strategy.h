// Strategy: how one MoE layer uses its router and its experts. Members are in strategies/, the table in strategy.cpp.
#pragma once
#include <cmath>

#include "core/moe/layer_parts.h"
#include "core/moe/router.h"

namespace moe {

class Strategy {
 public:
  using Setup = BuildContext;

  virtual ~Strategy() = default;
  // The router whose choices count as the layer's.
  virtual Router& router() = 0;
  const StrategyTraits& traits() const { return traits_; }
  // x (tokens, d_model), which must live until backward -> (tokens, d_model). In a ReplayScope the last pass is run
  // again for its activations: it takes its choices from that pass.
  virtual Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) = 0;
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  virtual void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) = 0;
  // Balance losses besides the layer's, or none.
  virtual const BalanceSet* own_balance() const { return nullptr; }
  // See Router::close_experts().
  virtual void close_experts(ConstTensor closed) { router().close_experts(closed); }
  // Called after the optimizer's step, when the sums are those of the whole step; the same on every rank.
  virtual void after_step(Context& ctx, const LoadStats& load) { router().after_step(ctx, load); }

 protected:
  // Set by the constructors of members: the router's traits, changed where the strategy differs.
  StrategyTraits traits_;
};

// A strategy with the configured router over all experts. It may share the router with another strategy.
class RoutedStrategy : public Strategy {
 public:
  explicit RoutedStrategy(const Setup& setup);
  Router& router() override { return *router_; }

 protected:
  std::shared_ptr<Router> shared_router() const { return router_; }

 private:
  std::shared_ptr<Router> router_;
};

}  // namespace moe
