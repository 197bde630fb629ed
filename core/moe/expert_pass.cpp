#include "core/moe/expert_pass.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/tensor/recomputation.h"

namespace moe {

// With Experts::recomputes(), rows from other ranks are kept: they would have to be sent again.
void ExpertPass::forward(Context& ctx, const Route& route, Tensor returned, ConstTensor x) {
  Experts& experts = route.experts;
  const bool recomputes = experts.recomputes(), alone = route.dispatcher.alone();
  x_ = x;
  const auto allocate_rows = [&] {
    const KeepScope keep(ctx, recomputes && !alone);
    return ctx.allocate(Shape{plan.num_received, x.dim(1)});
  };
  const Tensor rows = allocate_rows();
  saved_ = recomputes ? Experts::Saved{rows, {}, {}, numbers} : experts.allocate_hidden(ctx, rows, numbers);
  ScratchScope scratch(ctx);
  const DType wire = travelling_type(ctx);
  const Tensor sent = alone ? rows : scratch.allocate(returned.shape, wire);
  permute_forward(ctx, sent, x, plan.source, plan.position.dim(1));
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const Experts::Range range{part.experts, part.offsets};
    const ActivationScope hidden(ctx);
    Experts::Saved saved = saved_.slice(part.received);
    if (recomputes) saved = experts.allocate_hidden(ctx, saved.rows, saved.numbers);
    if (alone) return experts.forward(ctx, range, back, saved);
    gather_rows(ctx, rows.slice(part.received.begin, part.received.count), arrived, part.by_expert);
    ScratchScope inner(ctx);
    const Tensor out = inner.allocate(saved.rows.shape);
    experts.forward(ctx, range, out, saved);
    gather_rows(ctx, back, out, part.by_arrival);
  };
  const Tensor results = alone || wire == returned.dtype ? returned : sent;
  route.dispatcher.exchange(ctx, plan, TrafficKind::dispatch, sent, results, compute, route.meanwhile);
  if (results.dtype != returned.dtype) convert(ctx, returned, results);
}

void ExpertPass::backward(Context& ctx, const Route& route, Tensor d_returned) {
  Experts& experts = route.experts;
  const bool recomputes = experts.recomputes(), alone = route.dispatcher.alone();
  const ActivationScope again(ctx);
  if (recomputes && alone) {
    const Tensor rows = ctx.allocate(Shape{plan.num_received, x_.dim(1)});
    permute_forward(ctx, rows, x_, plan.source, plan.position.dim(1));
    saved_.rows = rows;
  }
  const Experts::Accumulates accumulates = experts.begin_backward();
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const Experts::Range range{part.experts, part.offsets};
    const ActivationScope hidden(ctx);
    ScratchScope scratch(ctx);
    Experts::Saved saved = saved_.slice(part.received);
    if (recomputes) {
      saved = experts.allocate_hidden(ctx, saved.rows, saved.numbers);
      experts.hidden(ctx, range, saved);
    }
    if (alone) return experts.backward(ctx, range, accumulates, back, arrived, saved);
    const Tensor d_rows = scratch.allocate(saved.rows.shape);
    gather_rows(ctx, d_rows, arrived, part.by_expert);
    experts.backward(ctx, range, accumulates, d_rows, d_rows, saved);
    gather_rows(ctx, back, d_rows, part.by_arrival);
  };
  const DType wire = travelling_type(ctx);
  if (alone || wire == d_returned.dtype) {
    return route.dispatcher.exchange(ctx, plan, TrafficKind::combine, d_returned, d_returned, compute, route.meanwhile);
  }
  ScratchScope scratch(ctx);
  const Tensor rounded = scratch.allocate(d_returned.shape, wire);
  convert(ctx, rounded, d_returned);
  route.dispatcher.exchange(ctx, plan, TrafficKind::combine, rounded, rounded, compute, route.meanwhile);
  convert(ctx, d_returned, rounded);
}

}  // namespace moe
