#include "core/nn/modal_embedding.h"

#include "core/base/integer.h"
#include "core/ops/modality.h"

namespace moe {

static ModalityLayout layout_of(const TokenBatch& batch, size_t modality) {
  return {.modality = static_cast<int64_t>(modality), .modalities = batch.modalities, .time = batch.time};
}

TokenBatch ModalEmbedding::part(Context& ctx, const TokenBatch& batch, size_t modality) const {
  const Modality& m = modalities_[modality];
  TokenBatch part;
  part.sequences = batch.samples();
  part.time = m.patches > 0 ? m.patches : batch.time;
  if (m.patches > 0) {
    part.features = batch.features;
    if (rows_.modalities > 1) {
      const Tensor own =
          ctx.allocate(Shape{part.tokens() * m.features / rows_.width, rows_.width}, batch.features.dtype);
      take_modality(ctx, own, batch.features,
                    {.modality = static_cast<int64_t>(modality), .modalities = rows_.modalities, .time = rows_.rows});
      part.features = own.reshape(Shape{part.tokens(), m.features});
    }
    return part;
  }
  const Tensor ids = ctx.allocate(Shape{part.tokens()}, DType::i32);
  take_modality(ctx, ids, batch.ids, layout_of(batch, modality));
  part.ids = ids;
  return part;
}

Tensor ModalEmbedding::forward(Context& ctx, const TokenBatch& batch) {
  MOE_CHECK(batch.modalities == std::ssize(modalities_), "a batch of {} modalities for a model of {}", batch.modalities,
            modalities_.size());
  saved_.clear();
  Tensor hidden;
  for (size_t m = 0; m < modalities_.size(); ++m) {
    saved_.push_back(part(ctx, batch, m));
    const Tensor embedded = modalities_[m].embedding->forward(ctx, saved_[m]);
    if (!hidden) hidden = ctx.allocate(Shape{batch.tokens(), embedded.dim(1)});
    put_modality(ctx, hidden, embedded, layout_of(batch, m));
  }
  return hidden;
}

void ModalEmbedding::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  for (size_t m = 0; m < modalities_.size(); ++m) {
    ScratchScope scratch(ctx);
    const Tensor d_embedded = scratch.allocate(Shape{saved_[m].tokens(), d_hidden.dim(1)});
    take_modality(ctx, d_embedded, d_hidden, layout_of(batch, m));
    modalities_[m].embedding->backward(ctx, saved_[m], d_embedded);
  }
}

}  // namespace moe
