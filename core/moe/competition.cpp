#include "core/moe/competition.h"

#include <utility>

#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"

namespace moe {

void Competition::prepare(Context& ctx, LayerParts& parts, int64_t tokens, int64_t first_token) {
  const Tensor all_experts = ctx.allocate(Shape{tokens, experts_}, DType::i32);
  choose_all(ctx, all_experts);
  const bool drops = parts.experts.drops_hidden(ctx);
  part_.numbers = {};
  // All experts get all tokens, so copies would only make ranks differ.
  const TokenDispatcher::Bounds bounds{.only_homes = true};
  if (parts.hosts) {
    const int64_t before = std::exchange(ctx.first_token, first_token);
    parts.hosts->prepare(ctx, all_experts, {}, bounds, part_.host_plan, part_.plan, drops ? &part_.numbers : nullptr);
    ctx.first_token = before;
    return;
  }
  parts.dispatcher.prepare(ctx, all_experts, part_.plan, bounds);
  if (drops) part_.numbers = parts.dispatcher.number(ctx, all_experts, first_token, part_.plan);
}

Tensor Competition::respond(Context& ctx, LayerParts& parts, ConstTensor x, int64_t first_token, bool collects) {
  prepare(ctx, parts, x.dim(0), first_token);
  const DispatchPlan& plan = part_.plan;
  const bool alone = dispatcher(parts).alone();
  const int64_t d = x.dim(1);
  const Tensor rows = ctx.allocate(Shape{plan.num_received, d});
  part_.out = ctx.allocate(rows.shape);
  part_.experts = parts.experts.allocate_hidden(ctx, rows, part_.numbers);
  part_.row_scores = ctx.allocate_wide(Shape{plan.num_received, 1});
  Tensor returned;
  if (collects) returned = alone ? part_.row_scores : ctx.allocate_wide(Shape{plan.num_sorted, 1});
  ScratchScope scratch(ctx);
  ConstTensor tokens = x;
  if (parts.hosts) {
    const Tensor arrived = scratch.allocate(Shape{part_.host_plan.tokens.num_received, d});
    parts.hosts->send_tokens(ctx, part_.host_plan, TrafficKind::dispatch, arrived, x);
    tokens = arrived;
  }
  const Tensor sent = alone ? rows : scratch.allocate(Shape{plan.num_sorted, d}, travelling_type(ctx));
  permute_forward(ctx, sent, tokens, plan.source, experts_);
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const auto of_part = [&](Tensor all) { return all.slice(part.received.begin, part.received.count); };
    if (!alone) gather_rows(ctx, of_part(rows), arrived, part.by_expert);
    parts.experts.forward(ctx, {part.experts, part.offsets}, of_part(part_.out), part_.experts.slice(part.received));
    response_forward(ctx, of_part(part_.row_scores), of_part(part_.out), response_);
    if (collects && !alone) gather_rows(ctx, back, of_part(part_.row_scores), part.by_arrival);
  };
  dispatcher(parts).exchange(ctx, plan, TrafficKind::dispatch, sent, returned, compute);
  if (!parts.hosts || !collects) return returned;
  const Tensor single = ctx.allocate_wide(Shape{part_.host_plan.single.num_sorted, 1});
  parts.hosts->return_single(ctx, part_.host_plan, single, returned, returned.dtype);
  return single;
}

void Competition::forward(Context& ctx, LayerParts& parts, ConstTensor x, Tensor scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    const Tensor returned = respond(ctx, parts, x.slice(share.begin, share.count), ctx.first_token + share.begin, true);
    const int64_t slots = share.count * experts_;
    gather_rows(ctx, scores.slice(share.begin, share.count).reshape({slots, 1}), returned,
                sorted(parts).position.reshape({slots}));
  }
}

void Competition::part_backward(Context& ctx, LayerParts& parts, Tensor d_x, ConstTensor d_scores) {
  ScratchScope scratch(ctx);
  const DispatchPlan& plan = part_.plan;
  const bool alone = dispatcher(parts).alone();
  const int64_t slots = d_scores.size(), d = d_x.dim(1);
  Tensor d_returned = scratch.allocate_wide(Shape{slots, 1});
  gather_rows(ctx, d_returned, d_scores.reshape({slots, 1}), sorted(parts).source);
  if (parts.hosts) {
    const Tensor d_outputs = scratch.allocate_wide(Shape{plan.num_sorted, 1});
    parts.hosts->send_single(ctx, part_.host_plan, d_outputs, d_returned, d_returned.dtype);
    d_returned = d_outputs;
  }
  const Tensor d_sent = scratch.allocate(Shape{plan.num_sorted, d}),
               d_rounded = alone || travelling_type(ctx) == d_sent.dtype
                               ? d_sent
                               : scratch.allocate(d_sent.shape, travelling_type(ctx));
  const Experts::Accumulates accumulates = parts.experts.begin_backward();
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const auto of_part = [&](Tensor all) { return all.slice(part.received.begin, part.received.count); };
    ScratchScope inner(ctx);
    const Tensor out = of_part(part_.out), d_rows = alone ? back : inner.allocate(out.shape);
    ConstTensor d_row_scores = arrived;
    if (!alone) {
      const Tensor by_expert = inner.allocate_wide(Shape{part.received.count, 1});
      gather_rows(ctx, by_expert, arrived, part.by_expert);
      d_row_scores = by_expert;
    }
    fill_zero(ctx, d_rows);
    response_backward(ctx, d_rows, d_row_scores, of_part(part_.row_scores), out, response_);
    parts.experts.backward(ctx, {part.experts, part.offsets}, accumulates, d_rows, d_rows,
                           part_.experts.slice(part.received));
    if (!alone) gather_rows(ctx, back, d_rows, part.by_arrival);
  };
  dispatcher(parts).exchange(ctx, plan, TrafficKind::combine, d_returned, d_rounded, compute);
  if (d_rounded.dtype != d_sent.dtype) convert(ctx, d_sent, d_rounded);
  if (!parts.hosts) return permute_backward(ctx, d_x, d_sent, plan.position);
  const Tensor d_arrived = scratch.allocate(Shape{part_.host_plan.tokens.num_received, d});
  fill_zero(ctx, d_arrived);
  permute_backward(ctx, d_arrived, d_sent, plan.position);
  parts.hosts->return_sums(ctx, part_.host_plan, TrafficKind::dispatch, d_x, d_arrived, travelling_type(ctx));
}

void Competition::backward(Context& ctx, LayerParts& parts, Tensor d_x, ConstTensor x, ConstTensor d_scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    respond(ctx, parts, x.slice(share.begin, share.count), ctx.first_token + share.begin, false);
    part_backward(ctx, parts, d_x.slice(share.begin, share.count), d_scores.slice(share.begin, share.count));
  }
}

}  // namespace moe
