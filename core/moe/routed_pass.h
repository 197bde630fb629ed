// The usual pass through a layer, from which strategies are built: through the experts that a routing chose, with load
// statistics and balance losses.
#pragma once
#include "core/moe/sparse_pass.h"
#include "core/moe/strategy.h"

namespace moe {

// For a routing from any source.
class BalancedPass {
 public:
  // x (tokens, d_model) -> (tokens, d_model), through the experts of `routing`. The balance losses on choices are
  // computed from `balanced`, which may be another routing; the load and the losses on outputs from the one that is
  // used. All arguments must live until backward.
  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x, const Routing& routing,
                 const Routing& balanced);
  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x, const Routing& routing) {
    return forward(ctx, parts, batch, x, routing, routing);
  }
  // d_y (tokens, d_model) -> adds to d_x; overwrites d_routing with the gradient of the routing that was used, without
  // the gradient of the balance losses on choices. `more` adds further contributions to the gradient of the experts'
  // outputs.
  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, const RoutingGradient& d_routing,
                ConstTensor d_y, const Routing& routing, const OutputGradient& more = {});
  // The same including the balance losses on the choices of `routing`: also overwrites d_logits (tokens, experts) and
  // adds to d_routing.weights.
  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, const RoutingGradient& d_routing,
                Tensor d_logits, ConstTensor d_y, const Routing& routing, const OutputGradient& more = {});

  const SparsePass& pass() const { return pass_; }

 private:
  SparsePass pass_;
};

// For the routing of one router.
class RoutedPass {
 public:
  Tensor forward(Context& ctx, LayerParts& parts, Router& router, const TokenBatch& batch, ConstTensor x);
  // Adds to d_x.
  void backward(Context& ctx, LayerParts& parts, Router& router, const TokenBatch& batch, Tensor d_x, ConstTensor d_y,
                const OutputGradient& more = {});

  const Routing& routing() const { return routing_; }
  const SparsePass& pass() const { return balanced_.pass(); }

 private:
  Routing routing_;
  BalancedPass balanced_;
};

}  // namespace moe
