#include "core/nn/transformer_block.h"

#include "core/ops/elementwise.h"

namespace moe {

static RandomKey dropout_key(const Context& ctx, int layer, uint32_t branch) {
  return ctx.random(RandomPurpose::residual_dropout, static_cast<uint32_t>(layer) * 2 + branch);
}

Tensor TransformerBlock::add_branch(Context& ctx, ConstTensor hidden, Tensor branch, uint32_t branch_index) {
  if (ctx.training) dropout(ctx, branch, dropout_, dropout_key(ctx, layer_, branch_index), ctx.first_token);
  add(ctx, branch, hidden, branch);  // nobody reads the branch's output again
  return branch;
}

Tensor TransformerBlock::forward(Context& ctx, const TokenBatch& batch, ConstTensor hidden) {
  const Tensor attended = attention_.forward(ctx, batch, attention_norm_.forward(ctx, hidden));
  const Tensor middle = add_branch(ctx, hidden, attended, 0);
  const Tensor fed = feed_forward_->forward(ctx, batch, feed_forward_norm_.forward(ctx, middle));
  return add_branch(ctx, middle, fed, 1);
}

void TransformerBlock::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  ScratchScope scratch(ctx);
  const Tensor d_normed = scratch.allocate(d_hidden.shape);
  const bool drops = ctx.training && dropout_ > 0;
  const Tensor d_branch = drops ? scratch.allocate(d_hidden.shape) : d_hidden;
  auto into_branch = [&](uint32_t branch) {
    if (!drops) return;
    copy(ctx, d_branch, d_hidden);
    dropout(ctx, d_branch, dropout_, dropout_key(ctx, layer_, branch), ctx.first_token);
  };
  into_branch(1);
  feed_forward_->backward(ctx, batch, d_normed, d_branch);
  feed_forward_norm_.backward(ctx, d_hidden, d_normed);
  into_branch(0);
  attention_.backward(ctx, d_normed, d_branch);
  attention_norm_.backward(ctx, d_hidden, d_normed);
}

}  // namespace moe
