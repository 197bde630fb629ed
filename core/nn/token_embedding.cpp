#include "core/nn/token_embedding.h"

#include "core/ops/embedding.h"

namespace moe {

TokenEmbedding::TokenEmbedding(ParameterStore& parameters, int64_t vocab, int64_t d_model, double init_std)
    : table_(parameters.add(lookup_table("embedding.weight", vocab, d_model, init_std))) {}

Tensor TokenEmbedding::forward(Context& ctx, const TokenBatch& batch) {
  const Tensor hidden = ctx.allocate(Shape{batch.tokens(), table_.shape[1]});
  embedding_forward(ctx, hidden, table_.value, batch.ids);
  return hidden;
}

void TokenEmbedding::backward(Context& ctx, const TokenBatch& batch, ConstTensor d_hidden) {
  embedding_backward(ctx, table_.gradient, d_hidden, batch.ids);
}

}  // namespace moe
