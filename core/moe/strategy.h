// Strategy: how one MoE layer uses its router and its experts. Members are in strategies/, the table in strategy.cpp.
#pragma once
#include <cmath>

#include "core/moe/layer_parts.h"
#include "core/moe/router.h"

namespace moe {

class Strategy {
 public:
  using Setup = LayerSetup;

  virtual ~Strategy() = default;
  // The one whose choices are the layer's.
  virtual Router& router() = 0;
  // Width of the layer's indices.
  virtual int64_t slots() { return router().k(); }
  // Experts per token at evaluation of the trained model, on average; and how many such passes a training step makes.
  virtual double final_k() { return router().final_k(); }
  // At an update, counted from 0: what a capacity is measured by.
  virtual double k_at(uint64_t update) { return router().k_at(update); }
  // As of a router: why the number of experts is fixed, and why copies of experts do not add up to them.
  virtual std::string fixed_experts() { return router().fixed_experts(); }
  // Why no expert can take another's place; empty: each can.
  virtual std::string fixed_places() { return ""; }
  virtual std::string unlike_copies() { return router().unlike_copies(); }
  // Whether the choice itself bounds what an expert gets; then no capacity can.
  virtual bool bounds_load() { return router().bounds_load(); }
  virtual double training_passes() const { return 1; }
  // Of the trained model, and while it is trained.
  virtual Causality causality() { return router().causality(); }
  virtual Causality training_causality() { return router().training_causality(); }
  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  virtual Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) = 0;
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  virtual void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) = 0;
  // Balance losses besides the layer's, or none.
  virtual const BalanceSet* own_balance() const { return nullptr; }
  // As of the router.
  virtual ExpertDirections directions() { return router().directions(); }
  // As Router::close_experts().
  virtual void close_experts(ConstTensor closed) { router().close_experts(closed); }
  // After the optimizer's step, when the sums are those of the whole step; the same on every rank.
  virtual void after_step(Context& ctx, const LoadStats& load) { router().after_step(ctx, load); }
};

// A strategy with the configured router over all experts, which it may share with another.
class RoutedStrategy : public Strategy {
 public:
  explicit RoutedStrategy(const Setup& setup)
      : router_(setup.router ? setup.router : std::shared_ptr<Router>(setup.config.router.make(setup))) {}
  Router& router() override { return *router_; }

 protected:
  std::shared_ptr<Router> shared_router() const { return router_; }

 private:
  std::shared_ptr<Router> router_;
};

}  // namespace moe
