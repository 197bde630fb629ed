#include "core/moe/sparse_pass.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/ops/sample_signals.h"

namespace moe {

Tensor SparsePass::forward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x,
                           const Routing& routing) {
  x_ = x;
  const Tensor rows = dispatcher.dispatch(ctx, x, routing.indices, plan_, routing.most_assignments);
  const Tensor out = experts.forward(ctx, rows, plan_.local_offsets, experts_);
  returned_ = dispatcher.collect(ctx, out, plan_);
  const Tensor y = ctx.allocate(x.shape);
  combine_forward(ctx, y, returned_, routing.weights, plan_.position);
  if (routing.skip) add_scaled_rows(ctx, y, x, routing.skip);
  if (ctx.signals) tell(ctx, routing);
  return y;
}

void SparsePass::tell(Context& ctx, const Routing& routing) const {
  RoutingSignals& signals = *ctx.signals;
  if (signals.router_entropy && routing.probabilities) {
    add_router_entropy(ctx, signals.router_entropy, routing.probabilities);
  }
  if (signals.expert_variance) add_expert_variance(ctx, signals.expert_variance, returned_, plan_.position);
  ++signals.passes;
}

void SparsePass::backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x,
                          const RoutingGradient& d_routing, ConstTensor d_y, const Routing& routing,
                          const OutputGradient& more) {
  ScratchScope scratch(ctx);
  const Tensor d_rows = scratch.allocate(experts_.rows.shape);
  {
    ScratchScope inner(ctx);
    const Tensor d_returned = inner.allocate(returned_.shape);
    combine_backward(ctx, d_returned, d_routing.weights, d_y, returned_, routing.weights, plan_.position, plan_.source);
    if (more) more(d_returned);
    experts.backward(ctx, d_rows, dispatcher.collect_backward(ctx, inner, d_returned, plan_), experts_);
  }
  dispatcher.dispatch_backward(ctx, d_x, d_rows, plan_);
  if (routing.skip) {
    row_dots(ctx, d_routing.skip, d_y, x_);
    add_scaled_rows(ctx, d_x, d_y, routing.skip);
  }
}

RoutingGradient allocate_gradient(ScratchScope& scratch, const Routing& routing) {
  return {scratch.allocate_wide(routing.weights.shape),
          routing.skip ? scratch.allocate_wide(routing.skip.shape) : Tensor{}};
}

}  // namespace moe
