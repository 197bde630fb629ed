#include "core/moe/competition.h"

#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"

namespace moe {

void Competition::respond(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x,
                          int64_t first_token) {
  const Tensor all_experts = ctx.allocate(Shape{x.dim(0), experts_}, DType::i32);
  choose_all(ctx, all_experts);
  const Tensor rows = dispatcher.dispatch(ctx, x, all_experts, part_.plan);
  ConstTensor numbers;
  if (experts.drops_hidden(ctx)) numbers = dispatcher.number(ctx, all_experts, first_token, part_.plan);
  part_.out = ctx.allocate(rows.shape);
  part_.experts = experts.forward(ctx, part_.out, rows, part_.plan.local_offsets, numbers);
  part_.row_scores = ctx.allocate_wide(Shape{part_.out.dim(0), 1});
  response_forward(ctx, part_.row_scores, part_.out, response_);
}

void Competition::forward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x, Tensor scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    respond(ctx, dispatcher, experts, x.slice(share.begin, share.count), ctx.first_token + share.begin);
    const Tensor returned = dispatcher.collect(ctx, part_.row_scores, part_.plan);
    const int64_t slots = share.count * experts_;
    gather_rows(ctx, scores.slice(share.begin, share.count).reshape({slots, 1}), returned,
                part_.plan.position.reshape({slots}));
  }
}

void Competition::backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x, ConstTensor x,
                           ConstTensor d_scores) {
  for (int64_t i = 0; i < num_parts(); ++i) {
    const ActivationScope activations(ctx);
    ScratchScope scratch(ctx);
    const Share share = share_of(x.dim(0), num_parts(), i);
    respond(ctx, dispatcher, experts, x.slice(share.begin, share.count), ctx.first_token + share.begin);
    const int64_t slots = share.count * experts_;
    const Tensor d_returned = scratch.allocate_wide(Shape{slots, 1});
    gather_rows(ctx, d_returned, d_scores.slice(share.begin, share.count).reshape({slots, 1}), part_.plan.source);
    const Tensor d_row_scores = dispatcher.collect_backward(ctx, scratch, d_returned, part_.plan);
    const Tensor d_out = scratch.allocate(part_.out.shape), d_rows = scratch.allocate(part_.out.shape);
    fill_zero(ctx, d_out);
    response_backward(ctx, d_out, d_row_scores, part_.row_scores, part_.out, response_);
    experts.backward(ctx, d_rows, d_out, part_.experts);
    dispatcher.dispatch_backward(ctx, d_x.slice(share.begin, share.count), d_rows, part_.plan);
  }
}

}  // namespace moe
