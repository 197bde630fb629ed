// What makes the first hidden states of a batch: from token ids, or from what tokens come with instead.
#pragma once
#include "core/nn/parameter.h"
#include "core/nn/token_batch.h"

namespace moe {

class InputEmbedding {
 public:
  virtual ~InputEmbedding() = default;
  // batch -> hidden (tokens, d_model)
  virtual Tensor forward(Context& ctx, const TokenBatch& batch) = 0;
  // d_hidden (tokens, d_model) of the batch of the last forward(), undefined on return; the parameters' gradients are
  // added to
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) = 0;
  // (vocab, d_model): what an output head may share; null where tokens have no ids.
  virtual Parameter* table() { return nullptr; }
};

}  // namespace moe
