#include "core/moe/sparse_pass.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/sample_signals.h"

namespace moe {

void SparsePass::drop(Context& ctx, const LayerParts& parts, Tensor rows) const {
  const int64_t first_slot = ctx.first_token * kept_.indices.dim(1);
  dropout(ctx, rows, parts.dropout.now(ctx),
          ctx.random(RandomPurpose::output_dropout, static_cast<uint32_t>(parts.dropout.layer)), first_slot,
          plan_.source.slice(0, rows.dim(0)));
}

Tensor SparsePass::forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x,
                           const Routing& routing) {
  x_ = x;
  kept_ = parts.capacity.keep(ctx, batch, routing);
  const Tensor rows = parts.dispatcher.dispatch(ctx, x, kept_.indices, plan_, kept_.most_per_expert);
  ConstTensor numbers;
  if (parts.experts.drops_hidden(ctx)) numbers = parts.dispatcher.number(ctx, kept_.indices, ctx.first_token, plan_);
  const Tensor out = parts.experts.forward(ctx, rows, plan_.local_offsets, numbers, experts_);
  returned_ = parts.dispatcher.collect(ctx, out, plan_);
  drop(ctx, parts, returned_);
  const Tensor y = ctx.allocate(x.shape);
  combine_forward(ctx, y, returned_, kept_.weights, plan_.position);
  if (routing.skip) add_scaled_rows(ctx, y, x, routing.skip);
  if (ctx.signals) report(ctx, routing);
  return y;
}

void SparsePass::report(Context& ctx, const Routing& routing) const {
  RoutingSignals& signals = *ctx.signals;
  if (signals.router_entropy && routing.probabilities) {
    add_router_entropy(ctx, signals.router_entropy, routing.probabilities);
  }
  if (signals.expert_variance) add_expert_variance(ctx, signals.expert_variance, returned_, plan_.position);
  ++signals.passes;
}

void SparsePass::backward(Context& ctx, LayerParts& parts, Tensor d_x, const RoutingGradient& d_routing,
                          ConstTensor d_y, const Routing& routing, const OutputGradient& more) {
  ScratchScope scratch(ctx);
  const Tensor d_rows = scratch.allocate(experts_.rows.shape);
  {
    ScratchScope inner(ctx);
    const Tensor d_returned = inner.allocate(returned_.shape);
    combine_backward(ctx, d_returned, d_routing.weights, d_y, returned_, kept_.weights, plan_.position, plan_.source);
    parts.capacity.backward(ctx, d_routing.weights, kept_, routing);
    if (more) more(d_returned);
    drop(ctx, parts, d_returned);
    parts.experts.backward(ctx, d_rows, parts.dispatcher.collect_backward(ctx, inner, d_returned, plan_), experts_);
  }
  parts.dispatcher.dispatch_backward(ctx, d_x, d_rows, plan_);
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
