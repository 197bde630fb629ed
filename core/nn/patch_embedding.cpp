#include "core/nn/patch_embedding.h"

#include "core/ops/class_token.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"

namespace moe {

PatchEmbedding::PatchEmbedding(ParameterStore& parameters, int64_t features, int64_t d_model, bool class_token,
                               double init_std, const std::string& name)
    : weight_(parameters.add({ParameterRole::embedding}, {name + ".weight",
                                                          Shape{d_model, features},
                                                          ParameterGroup::shared,
                                                          {Initialisation::Kind::normal, init_std}})) {
  if (class_token) class_token_ = &parameters.add({ParameterRole::class_token}, class_token_row(d_model, init_std));
}

Tensor PatchEmbedding::forward(Context& ctx, const TokenBatch& batch) {
  const int64_t d_model = weight_.shape[0], patches = batch.sequences * (batch.time - (class_token_ ? 1 : 0));
  MOE_CHECK(batch.features && batch.features.dim(0) == patches, "the batch has {} patches, expected {}",
            batch.features ? batch.features.dim(0) : 0, patches);
  saved_.patches = batch.features;
  if (batch.features.dtype != ctx.dtype) {
    const Tensor narrow = ctx.allocate(batch.features.shape);
    convert(ctx, narrow, batch.features);
    saved_.patches = narrow;
  }
  const Tensor hidden = ctx.allocate(Shape{batch.tokens(), d_model});
  if (!class_token_) {
    linear_forward(ctx, hidden, saved_.patches, weight_.value, ctx.products);
    return hidden;
  }
  ScratchScope scratch(ctx);
  const Tensor embedded = scratch.allocate(Shape{patches, d_model});
  linear_forward(ctx, embedded, saved_.patches, weight_.value, ctx.products);
  class_token_forward(ctx, hidden, embedded, class_token_->value, batch.time);
  return hidden;
}

void PatchEmbedding::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  if (!class_token_) return linear_backward_weight(ctx, weight_.gradient, d_hidden, saved_.patches, ctx.products);
  ScratchScope scratch(ctx);
  const Tensor d_embedded = scratch.allocate(Shape{saved_.patches.dim(0), weight_.shape[0]});
  class_token_backward(ctx, d_embedded, class_token_->gradient, d_hidden, batch.time);
  linear_backward_weight(ctx, weight_.gradient, d_embedded, saved_.patches, ctx.products);
}

}  // namespace moe
