#include "core/moe/routed_pass.h"

#include "core/ops/elementwise.h"

namespace moe {

Tensor BalancedPass::forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x,
                             const Routing& routing, const Routing& balanced) {
  const Tensor y = pass_.forward(ctx, parts, batch, x, routing);
  if (ctx.observe) {
    parts.load.observe(ctx, routing, batch);
    if (parts.record && !ctx.planning) parts.record->add(ctx, batch, routing, pass_.kept());
    parts.balance.observe(ctx, batch, balanced);
    parts.balance.observe_outputs(ctx, batch, routing, pass_.outputs());
  }
  return y;
}

void BalancedPass::backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x,
                            const RoutingGradient& d_routing, ConstTensor d_y, const Routing& routing,
                            const OutputGradient& more) {
  pass_.backward(ctx, parts, d_x, d_routing, d_y, routing, [&](Tensor d_returned) {
    parts.balance.backward_outputs(ctx, batch, d_returned, routing, pass_.outputs());
    if (more) more(d_returned);
  });
}

void BalancedPass::backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x,
                            const RoutingGradient& d_routing, Tensor d_logits, ConstTensor d_y, const Routing& routing,
                            const OutputGradient& more) {
  backward(ctx, parts, batch, d_x, d_routing, d_y, routing, more);
  fill_zero(ctx, d_logits);
  parts.balance.backward(ctx, batch, d_logits, routing, d_routing.weights);
}

Tensor RoutedPass::forward(Context& ctx, LayerParts& parts, Router& router, const TokenBatch& batch, ConstTensor x) {
  router.forward(ctx, batch, x, routing_);
  return balanced_.forward(ctx, parts, batch, x, routing_);
}

void RoutedPass::backward(Context& ctx, LayerParts& parts, Router& router, const TokenBatch& batch, Tensor d_x,
                          ConstTensor d_y, const OutputGradient& more) {
  ScratchScope scratch(ctx);
  const RoutingGradient d_routing = allocate_gradient(scratch, routing_);
  const Tensor d_logits = scratch.allocate_wide(routing_.logits.shape);
  balanced_.backward(ctx, parts, batch, d_x, d_routing, d_logits, d_y, routing_, more);
  router.backward(ctx, batch, d_x, d_logits, d_routing, routing_);
}

}  // namespace moe
