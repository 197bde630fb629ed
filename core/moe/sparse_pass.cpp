#include "core/moe/sparse_pass.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/sample_signals.h"
#include "core/tensor/recomputation.h"

namespace moe {

void SparsePass::drop(Context& ctx, const LayerParts& parts, Tensor rows) const {
  const int64_t first_slot = ctx.first_token * kept_.indices.dim(1);
  dropout(ctx, rows, parts.dropout.now(ctx),
          ctx.random(RandomPurpose::output_dropout, static_cast<uint32_t>(parts.dropout.layer)), first_slot,
          plan_.source.slice(0, rows.dim(0)));
}

void SparsePass::plan(Context& ctx, LayerParts& parts, const TokenBatch& batch, const Routing& routing) {
  const KeepScope keep(ctx);
  kept_ = parts.capacity.keep(ctx, batch, routing);
  parts.dispatcher.prepare(ctx, kept_.indices, plan_, kept_.most_per_expert);
  numbers_ = {};
  if (parts.experts.drops_hidden(ctx)) numbers_ = parts.dispatcher.number(ctx, kept_.indices, ctx.first_token, plan_);
}

// With Experts::recomputes() this rank keeps the experts' outputs, from which combine's backward computes the gradients
// of the weights, and rows from other ranks, which would have to be sent again.
void SparsePass::apply_experts(Context& ctx, LayerParts& parts, ConstTensor x) {
  const bool recomputes = parts.experts.recomputes(), alone = parts.dispatcher.alone();
  const TransientScope transient(ctx, recomputes);
  const auto kept_if = [&](bool is_kept, auto make) {
    const KeepScope keep(ctx, recomputes && is_kept);
    return make();
  };
  const Tensor rows = kept_if(!alone, [&] { return parts.dispatcher.send(ctx, x, plan_); });
  const Tensor out = kept_if(alone, [&] { return ctx.allocate(rows.shape); });
  experts_ = parts.experts.forward(ctx, out, rows, plan_.local_offsets, numbers_);
  returned_ = kept_if(true, [&] { return parts.dispatcher.collect(ctx, out, plan_); });
}

// The experts' activations again, from what apply_experts() kept.
void SparsePass::recompute_hidden(Context& ctx, LayerParts& parts) {
  const ConstTensor rows =
      parts.dispatcher.alone() ? ConstTensor(parts.dispatcher.send(ctx, x_, plan_)) : experts_.rows;
  experts_ = parts.experts.hidden(ctx, rows, plan_.local_offsets, numbers_);
}

Tensor SparsePass::forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x,
                           const Routing& routing) {
  x_ = x;
  if (!ctx.replays) plan(ctx, parts, batch, routing);
  apply_experts(ctx, parts, x);
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
  const ActivationScope again(ctx);
  if (parts.experts.recomputes()) recompute_hidden(ctx, parts);
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
