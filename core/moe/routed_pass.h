// The usual way through a layer, as strategies put it together: a pass through the experts that a routing chose, seen
// by the load statistics and the balance losses.
#pragma once
#include "core/moe/sparse_pass.h"
#include "core/moe/strategy.h"

namespace moe {

// For a routing from anywhere.
class BalancedPass {
 public:
  // x (tokens, d_model) -> (tokens, d_model). Everything given must live until backward.
  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x, const Routing& routing);
  // d_y (tokens, d_model) -> adds to d_x; overwrites d_routing and d_logits (tokens, experts), which get the balance
  // losses' gradient. `more`: what else the experts' outputs are answerable for.
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
