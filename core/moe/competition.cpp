#include "core/moe/competition.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"

namespace moe {

Tensor Competition::respond(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x,
                            int64_t first_token, bool collects) {
  const bool alone = dispatcher.alone();
  const Tensor all_experts = ctx.allocate(Shape{x.dim(0), experts_}, DType::i32);
  choose_all(ctx, all_experts);
  const DispatchPlan& plan = part_.plan;
  dispatcher.prepare(ctx, all_experts, part_.plan);
  ConstTensor numbers;
  if (experts.drops_hidden(ctx)) numbers = dispatcher.number(ctx, all_experts, first_token, plan);
  const Tensor rows = ctx.allocate(Shape{plan.num_received, x.dim(1)});
  part_.out = ctx.allocate(rows.shape);
  part_.experts = experts.allocate_hidden(ctx, rows, numbers);
  part_.row_scores = ctx.allocate_wide(Shape{plan.num_received, 1});
  Tensor returned;
  if (collects) returned = alone ? part_.row_scores : ctx.allocate_wide(Shape{plan.num_sorted, 1});
  ScratchScope scratch(ctx);
  const Tensor sent = alone ? rows : scratch.allocate(Shape{plan.num_sorted, x.dim(1)});
  permute_forward(ctx, sent, x, plan.source, experts_);
  const auto compute = [&](const DispatchPart& part, ConstTensor arrived, Tensor back) {
    const auto of_part = [&](Tensor all) { return all.slice(part.received.begin, part.received.count); };
    if (!alone) gather_rows(ctx, of_part(rows), arrived, part.by_expert);
    experts.forward(ctx, {part.experts, part.offsets}, of_part(part_.out), part_.experts.slice(part.received));
    response_forward(ctx, of_part(part_.row_scores), of_part(part_.out), response_);
    if (collects && !alone) gather_rows(ctx, back, of_part(part_.row_scores), part.by_arrival);
  };
  dispatcher.exchange(ctx, plan, sent, returned, compute);
  return returned;
}

void Competition::forward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x, Tensor scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    const Tensor returned =
        respond(ctx, dispatcher, experts, x.slice(share.begin, share.count), ctx.first_token + share.begin, true);
    const int64_t slots = share.count * experts_;
    gather_rows(ctx, scores.slice(share.begin, share.count).reshape({slots, 1}), returned,
                part_.plan.position.reshape({slots}));
  }
}

void Competition::part_backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x,
                                ConstTensor d_scores, const Experts::Accumulates& accumulates) {
  ScratchScope scratch(ctx);
  const DispatchPlan& plan = part_.plan;
  const bool alone = dispatcher.alone();
  const int64_t slots = d_scores.size();
  const Tensor d_returned = scratch.allocate_wide(Shape{slots, 1}), d_sent = scratch.allocate(Shape{slots, d_x.dim(1)});
  gather_rows(ctx, d_returned, d_scores.reshape({slots, 1}), plan.source);
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
    experts.backward(ctx, {part.experts, part.offsets}, accumulates, d_rows, d_rows,
                     part_.experts.slice(part.received));
    if (!alone) gather_rows(ctx, back, d_rows, part.by_arrival);
  };
  dispatcher.exchange(ctx, plan, d_returned, d_sent, compute);
  permute_backward(ctx, d_x, d_sent, plan.position);
}

void Competition::backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x, ConstTensor x,
                           ConstTensor d_scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    respond(ctx, dispatcher, experts, x.slice(share.begin, share.count), ctx.first_token + share.begin, false);
    part_backward(ctx, dispatcher, experts, d_x.slice(share.begin, share.count),
                  d_scores.slice(share.begin, share.count), experts.begin_backward());
  }
}

}  // namespace moe
