#include "core/nn/token_embedding.h"

#include "core/ops/class_token.h"
#include "core/ops/embedding.h"

namespace moe {

TokenEmbedding::TokenEmbedding(ParameterStore& parameters, int64_t vocab, int64_t d_model, double init_std,
                               bool class_token)
    : table_(parameters.add({ParameterRole::embedding}, lookup_table("embedding.weight", vocab, d_model, init_std))) {
  if (class_token) class_token_ = &parameters.add({ParameterRole::class_token}, class_token_row(d_model, init_std));
}

Tensor TokenEmbedding::forward(Context& ctx, const TokenBatch& batch) {
  const Tensor hidden = ctx.allocate(Shape{batch.tokens(), table_.shape[1]});
  embedding_forward(ctx, hidden, table_.value, batch.ids);
  if (class_token_) end_token_forward(ctx, hidden, class_token_->value, batch.lengths, batch.time);
  return hidden;
}

void TokenEmbedding::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  if (class_token_) end_token_backward(ctx, d_hidden, class_token_->gradient, batch.lengths, batch.time);
  embedding_backward(ctx, table_.gradient, d_hidden, batch.ids);
}

}  // namespace moe
