#include "core/moe/sparse_pass.h"

#include <utility>

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

// The work that may be done while rows travel, if this exchange is the first that could.
static FunctionRef<void()> take_meanwhile(LayerParts& parts) {
  return parts.dispatcher.overlaps() ? std::exchange(parts.meanwhile, {}) : FunctionRef<void()>{};
}

// With Experts::recomputes() this rank keeps the experts' outputs, from which combine's backward computes the gradients
// of the weights, and rows from other ranks, which would have to be sent again.
void SparsePass::apply_experts(Context& ctx, LayerParts& parts, ConstTensor x) {
  const bool recomputes = parts.experts.recomputes(), alone = parts.dispatcher.alone();
  const TransientScope transient(ctx, recomputes);
  const auto kept_if = [&](bool is_kept, int64_t count) {
    const KeepScope keep(ctx, recomputes && is_kept);
    return ctx.allocate(Shape{count, x.dim(1)});
  };
  const Tensor rows = kept_if(!alone, plan_.num_received);
  returned_ = kept_if(true, plan_.num_sorted);
  experts_ = recomputes ? Experts::Saved{rows, {}, {}, numbers_} : parts.experts.allocate_hidden(ctx, rows, numbers_);
  ScratchScope scratch(ctx);
  const Tensor sent = alone ? rows : scratch.allocate(returned_.shape);
  permute_forward(ctx, sent, x, plan_.source, plan_.position.dim(1));
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const Experts::Range range{part.experts, part.offsets};
    const ActivationScope hidden(ctx);
    Experts::Saved saved = experts_.slice(part.received);
    if (recomputes) saved = parts.experts.allocate_hidden(ctx, saved.rows, saved.numbers);
    if (alone) return parts.experts.forward(ctx, range, back, saved);
    gather_rows(ctx, rows.slice(part.received.begin, part.received.count), arrived, part.by_expert);
    ScratchScope inner(ctx);
    const Tensor out = inner.allocate(saved.rows.shape);
    parts.experts.forward(ctx, range, out, saved);
    gather_rows(ctx, back, out, part.by_arrival);
  };
  parts.dispatcher.exchange(ctx, plan_, sent, returned_, compute, take_meanwhile(parts));
}

void SparsePass::experts_backward(Context& ctx, LayerParts& parts, Tensor d_returned) {
  const bool recomputes = parts.experts.recomputes(), alone = parts.dispatcher.alone();
  const ActivationScope again(ctx);
  if (recomputes && alone) {
    const Tensor rows = ctx.allocate(Shape{plan_.num_received, x_.dim(1)});
    permute_forward(ctx, rows, x_, plan_.source, plan_.position.dim(1));
    experts_.rows = rows;
  }
  const Experts::Accumulates accumulates = parts.experts.begin_backward();
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const Experts::Range range{part.experts, part.offsets};
    const ActivationScope hidden(ctx);
    ScratchScope scratch(ctx);
    Experts::Saved saved = experts_.slice(part.received);
    if (recomputes) {
      saved = parts.experts.allocate_hidden(ctx, saved.rows, saved.numbers);
      parts.experts.hidden(ctx, range, saved);
    }
    if (alone) return parts.experts.backward(ctx, range, accumulates, back, arrived, saved);
    const Tensor d_rows = scratch.allocate(saved.rows.shape);
    gather_rows(ctx, d_rows, arrived, part.by_expert);
    parts.experts.backward(ctx, range, accumulates, d_rows, d_rows, saved);
    gather_rows(ctx, back, d_rows, part.by_arrival);
  };
  parts.dispatcher.exchange(ctx, plan_, d_returned, d_returned, compute, take_meanwhile(parts));
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
  ScratchScope scratch(ctx);
  const Tensor d_returned = scratch.allocate(returned_.shape);
  combine_backward(ctx, d_returned, d_routing.weights, d_y, returned_, kept_.weights, plan_.position, plan_.source);
  parts.capacity.backward(ctx, d_routing.weights, kept_, routing);
  if (more) more(d_returned);
  drop(ctx, parts, d_returned);
  experts_backward(ctx, parts, d_returned);
  permute_backward(ctx, d_x, d_returned, plan_.position);
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
