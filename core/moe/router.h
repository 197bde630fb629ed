// Router: which experts a token goes to, and with what weight. Members are in routers/, the table in router.cpp.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "core/moe/layer_setup.h"
#include "core/moe/load_stats.h"
#include "core/moe/routing.h"
#include "core/nn/token_batch.h"

namespace moe {

class Router {
 public:
  using Setup = LayerSetup;

  virtual ~Router() = default;
  // Slots per token: the width of Routing::indices.
  virtual int64_t k() const = 0;
  virtual Causality causality() const { return Causality::causal; }
  // x (tokens, d_model), which must live until backward
  virtual void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) = 0;
  // `d_routing`: gradients of the routing's weights and, where it has one, of its skip. d_logits (tokens, experts)
  // holds the balance losses' gradient on entry. Adds to d_x and to the router's parameters' gradients.
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits,
                        const RoutingGradient& d_routing, const Routing& routing) = 0;
  // After the optimizer's step, with the step's load over all ranks; the same on every rank.
  virtual void after_step(Context& ctx, const LoadStats& load) { (void)ctx, (void)load; }
};

// Routers that choose by softmax of logits share everything but how the logits are made.
class SoftmaxRouter : public Router {
 public:
  int64_t k() const override { return k_; }
  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits, const RoutingGradient& d_routing,
                const Routing& routing) override;

 protected:
  struct Softmax {
    int64_t k = 2;
    bool over_chosen = true;
    bool renormalise = true;
  };
  // Throws UsageError for a k that does not fit, and for k = 1 with renormalised weights.
  SoftmaxRouter(const Setup& setup, const Softmax& softmax);

  // routing.x -> routing.logits (allocated here)
  virtual void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;
  // d_logits -> adds to d_x and to parameters
  virtual void logits_backward(Context& ctx, Tensor d_x, ConstTensor d_logits, const Routing& routing) = 0;

  int64_t experts_;

 private:
  int64_t k_;
  Softmax softmax_;
};

}  // namespace moe
