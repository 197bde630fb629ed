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
          plan().source.slice(0, rows.dim(0)));
}

void SparsePass::make_plan(Context& ctx, LayerParts& parts, const TokenBatch& batch, const Routing& routing) {
  const KeepScope keep(ctx);
  kept_ = parts.capacity.keep(ctx, batch, routing);
  const bool drops = parts.experts.drops_hidden(ctx);
  experts_.numbers = {};
  single_ = parts.hosts && !parts.hosts->sums();
  if (parts.hosts) {
    return parts.hosts->prepare(ctx, kept_.indices, kept_.weights, {.per_expert = kept_.most_per_expert}, host_plan_,
                                experts_.plan, drops ? &experts_.numbers : nullptr);
  }
  parts.dispatcher.prepare(ctx, kept_.indices, experts_.plan, {.per_expert = kept_.most_per_expert});
  if (drops) experts_.numbers = parts.dispatcher.number(ctx, kept_.indices, ctx.first_token, experts_.plan);
}

// The work that may be done while rows travel, if this exchange is the first that could.
static FunctionRef<void()> take_meanwhile(LayerParts& parts) {
  return parts.dispatcher.overlaps() ? std::exchange(parts.meanwhile, {}) : FunctionRef<void()>{};
}

// x of the tokens that this rank is the partner of. ExpertPass needs it until backward only where it has no rows from
// other ranks, and computes again.
Tensor SparsePass::arrived_tokens(Context& ctx, ScratchScope& scratch, LayerParts& parts, ConstTensor x) {
  const Shape shape{host_plan_.tokens.num_received, x.dim(1)};
  const bool is_kept = parts.experts.recomputes() && parts.hosts->inside().alone();
  const KeepScope keep(ctx, is_kept);
  const Tensor arrived = is_kept ? ctx.allocate(shape) : scratch.allocate(shape);
  parts.hosts->send_tokens(ctx, host_plan_, TrafficKind::dispatch, arrived, x, take_meanwhile(parts));
  return arrived;
}

// This rank keeps the experts' outputs, from which combine's backward computes the gradients of the weights.
void SparsePass::apply_experts(Context& ctx, LayerParts& parts, ConstTensor x) {
  const bool recomputes = parts.experts.recomputes();
  const TransientScope transient(ctx, recomputes);
  const auto allocate_kept = [&] {
    const KeepScope keep(ctx, recomputes);
    return ctx.allocate(Shape{plan().num_sorted, x.dim(1)});
  };
  returned_ = allocate_kept();
  if (!parts.hosts) {
    return experts_.forward(ctx, {parts.dispatcher, parts.experts, take_meanwhile(parts)}, returned_, x);
  }
  ScratchScope scratch(ctx);
  const Tensor arrived = arrived_tokens(ctx, scratch, parts, x);
  const Tensor outputs = scratch.allocate(Shape{experts_.plan.num_sorted, x.dim(1)});
  experts_.forward(ctx, {parts.hosts->inside(), parts.experts}, outputs, arrived);
  parts.hosts->return_single(ctx, host_plan_, returned_, outputs, travelling_type(ctx));
}

void SparsePass::experts_backward(Context& ctx, LayerParts& parts, Tensor d_x, Tensor d_returned) {
  if (!parts.hosts) {
    experts_.backward(ctx, {parts.dispatcher, parts.experts, take_meanwhile(parts)}, d_returned);
    return permute_backward(ctx, d_x, d_returned, experts_.plan.position);
  }
  ScratchScope scratch(ctx);
  const Tensor d_outputs = scratch.allocate(Shape{experts_.plan.num_sorted, d_x.dim(1)});
  parts.hosts->send_single(ctx, host_plan_, d_outputs, d_returned, travelling_type(ctx), take_meanwhile(parts));
  experts_.backward(ctx, {parts.hosts->inside(), parts.experts}, d_outputs);
  const Tensor d_arrived = scratch.allocate(Shape{host_plan_.tokens.num_received, d_x.dim(1)});
  fill_zero(ctx, d_arrived);
  permute_backward(ctx, d_arrived, d_outputs, experts_.plan.position);
  parts.hosts->return_sums(ctx, host_plan_, TrafficKind::dispatch, d_x, d_arrived, travelling_type(ctx));
}

void SparsePass::sum_over_hosts(Context& ctx, LayerParts& parts, Tensor y, ConstTensor x) {
  const bool recomputes = parts.experts.recomputes();
  const TransientScope transient(ctx, recomputes);
  const auto allocate_kept = [&] {
    const KeepScope keep(ctx, recomputes);
    return ctx.allocate(Shape{experts_.plan.num_sorted, x.dim(1)});
  };
  returned_ = {};
  summed_ = allocate_kept();
  ScratchScope scratch(ctx);
  const Tensor arrived = arrived_tokens(ctx, scratch, parts, x);
  experts_.forward(ctx, {parts.hosts->inside(), parts.experts}, summed_, arrived);
  const Tensor sums = scratch.allocate(arrived.shape);
  combine_forward(ctx, sums, summed_, host_plan_.weights, experts_.plan.position);
  fill_zero(ctx, y);
  parts.hosts->return_sums(ctx, host_plan_, TrafficKind::combine, y, sums, travelling_type(ctx));
}

void SparsePass::sum_backward(Context& ctx, LayerParts& parts, Tensor d_x, Tensor d_weights, ConstTensor d_y,
                              const Routing& routing) {
  ScratchScope scratch(ctx);
  const DispatchPlan& inside = experts_.plan;
  const Tensor d_outputs = scratch.allocate(summed_.shape),
               d_sums = scratch.allocate(Shape{host_plan_.tokens.num_received, d_x.dim(1)});
  parts.hosts->send_tokens(ctx, host_plan_, TrafficKind::combine, d_sums, d_y, take_meanwhile(parts));
  {
    // Each weight belongs to one host, so its gradient is a sum of one term.
    ScratchScope inner(ctx);
    const Tensor d_of_host = inner.allocate_wide(host_plan_.weights.shape);
    combine_backward(ctx, d_outputs, d_of_host, d_sums, summed_, host_plan_.weights, inside.position, inside.source);
    fill_zero(ctx, d_weights);
    parts.hosts->return_sums(ctx, host_plan_, TrafficKind::combine, d_weights, d_of_host, d_of_host.dtype);
  }
  parts.capacity.backward(ctx, d_weights, kept_, routing);
  experts_.backward(ctx, {parts.hosts->inside(), parts.experts}, d_outputs);
  fill_zero(ctx, d_sums);  // now the gradient of the arrived tokens
  permute_backward(ctx, d_sums, d_outputs, inside.position);
  parts.hosts->return_sums(ctx, host_plan_, TrafficKind::dispatch, d_x, d_sums, travelling_type(ctx));
}

Tensor SparsePass::forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x,
                           const Routing& routing) {
  x_ = x;
  if (!ctx.replays) make_plan(ctx, parts, batch, routing);
  const Tensor y = ctx.allocate(x.shape);
  if (parts.hosts && parts.hosts->sums()) {
    sum_over_hosts(ctx, parts, y, x);
  } else {
    apply_experts(ctx, parts, x);
    drop(ctx, parts, returned_);
    combine_forward(ctx, y, returned_, kept_.weights, plan().position);
  }
  if (routing.skip) add_scaled_rows(ctx, y, x, routing.skip);
  if (ctx.signals) report(ctx, routing);
  return y;
}

void SparsePass::report(Context& ctx, const Routing& routing) const {
  RoutingSignals& signals = *ctx.signals;
  if (signals.router_entropy && routing.probabilities) {
    add_router_entropy(ctx, signals.router_entropy, routing.probabilities);
  }
  if (signals.router_uncertainty && routing.uncertainty) {
    add(ctx, signals.router_uncertainty, signals.router_uncertainty, routing.uncertainty);
  }
  if (signals.expert_variance) add_expert_variance(ctx, signals.expert_variance, returned(), plan().position);
  ++signals.passes;
}

void SparsePass::backward(Context& ctx, LayerParts& parts, Tensor d_x, const RoutingGradient& d_routing,
                          ConstTensor d_y, const Routing& routing, const OutputGradient& more) {
  if (parts.hosts && parts.hosts->sums()) {
    sum_backward(ctx, parts, d_x, d_routing.weights, d_y, routing);
  } else {
    ScratchScope scratch(ctx);
    const Tensor d_returned = scratch.allocate(returned_.shape);
    combine_backward(ctx, d_returned, d_routing.weights, d_y, returned_, kept_.weights, plan().position, plan().source);
    parts.capacity.backward(ctx, d_routing.weights, kept_, routing);
    if (more) more(d_returned);
    drop(ctx, parts, d_returned);
    experts_backward(ctx, parts, d_x, d_returned);
  }
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
