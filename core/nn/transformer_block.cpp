#include "core/nn/transformer_block.h"

#include <algorithm>

#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/tensor/copy.h"
#include "core/tensor/recomputation.h"

namespace moe {

void TransformerBlock::drop(Context& ctx, const TokenBatch& batch, Tensor branch, uint32_t branch_index) const {
  const uint32_t stream = static_cast<uint32_t>(layer_) * 2 + branch_index;
  dropout(ctx, branch, now(dropout_, ctx), ctx.random(RandomPurpose::residual_dropout, stream), ctx.first_token);
  drop_groups(ctx, branch, depth_ * now(layer_dropout_, ctx), ctx.random(RandomPurpose::layer_dropout, stream),
              ctx.first_token, std::max<int64_t>(batch.time, 1));
}

bool TransformerBlock::drops(const Context& ctx) const {
  return ctx.training && (now(dropout_, ctx) > 0 || now(layer_dropout_, ctx) > 0);
}

Tensor TransformerBlock::add_branch(Context& ctx, const TokenBatch& batch, ConstTensor hidden, Tensor branch,
                                    uint32_t branch_index) {
  if (drops(ctx)) drop(ctx, batch, branch, branch_index);
  add(ctx, branch, hidden, branch);  // in place: the branch's output is not needed again
  return branch;
}

Tensor TransformerBlock::forward(Context& ctx, const TokenBatch& batch, ConstTensor hidden) {
  if (!recomputes_) return compute(ctx, batch, hidden);
  input_ = hidden;
  const Tensor next = ctx.allocate(hidden.shape);
  const TransientScope transient(ctx);
  copy(ctx, next, compute(ctx, batch, hidden));
  return next;
}

Tensor TransformerBlock::feed(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  if (inputs_ && !ctx.planning) append_floats(ctx, *inputs_, x);
  return feed_forward_->forward(ctx, batch, x);
}

Tensor TransformerBlock::compute(Context& ctx, const TokenBatch& batch, ConstTensor hidden) {
  if (!place_.before) {
    const Tensor attended = attention_.forward(ctx, batch, hidden);
    const Tensor middle = attention_norm_.forward(ctx, add_branch(ctx, batch, hidden, attended, 0));
    Tensor sum = add_branch(ctx, batch, middle, feed(ctx, batch, middle), 1);
    if (inner_norm_) {
      sum = inner_norm_->forward(ctx, sum);
      add(ctx, sum, middle, sum);
    }
    return feed_forward_norm_.forward(ctx, sum);
  }
  const Tensor attended = attention_.forward(ctx, batch, attention_norm_.forward(ctx, hidden));
  const Tensor middle = add_branch(ctx, batch, hidden, attended, 0);
  const Tensor fed = feed(ctx, batch, feed_forward_norm_.forward(ctx, middle));
  return add_branch(ctx, batch, middle, fed, 1);
}

void TransformerBlock::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  const ActivationScope again(ctx);
  if (recomputes_) {
    const ReplayScope replay(ctx);
    compute(ctx, batch, input_);
  }
  if (place_.before)
    backward_before(ctx, batch, d_hidden);
  else
    backward_after(ctx, batch, d_hidden);
}

void TransformerBlock::backward_after(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  ScratchScope scratch(ctx);
  const Tensor d_sum = scratch.allocate(d_hidden.shape), d_x = scratch.allocate(d_hidden.shape);
  // The gradient of a norm's result in d_hidden -> the gradient of its input, in d_sum for the branch and in d_hidden
  // for the residual connection.
  const auto through = [&](Norm& norm) {
    fill_zero(ctx, d_sum);
    norm.backward(ctx, d_sum, d_hidden);
    copy(ctx, d_hidden, d_sum);
  };
  const auto into_branch = [&](uint32_t branch) {
    if (drops(ctx)) drop(ctx, batch, d_sum, branch);
  };
  through(feed_forward_norm_);
  if (inner_norm_) {
    fill_zero(ctx, d_x);
    inner_norm_->backward(ctx, d_x, d_sum);
    copy(ctx, d_sum, d_x);
    add(ctx, d_hidden, d_hidden, d_x);
  }
  into_branch(1);
  feed_forward_->backward(ctx, batch, d_x, d_sum);
  add(ctx, d_hidden, d_hidden, d_x);
  through(attention_norm_);
  into_branch(0);
  attention_.backward(ctx, d_x, d_sum);
  add(ctx, d_hidden, d_hidden, d_x);
}

void TransformerBlock::backward_before(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  ScratchScope scratch(ctx);
  const Tensor d_normed = scratch.allocate(d_hidden.shape);
  const Tensor d_branch = drops(ctx) ? scratch.allocate(d_hidden.shape) : d_hidden;
  auto into_branch = [&](uint32_t branch) {
    if (!drops(ctx)) return;
    copy(ctx, d_branch, d_hidden);
    drop(ctx, batch, d_branch, branch);
  };
  into_branch(1);
  feed_forward_->backward(ctx, batch, d_normed, d_branch);
  feed_forward_norm_.backward(ctx, d_hidden, d_normed);
  into_branch(0);
  attention_.backward(ctx, d_normed, d_branch);
  attention_norm_.backward(ctx, d_hidden, d_normed);
}

}  // namespace moe
