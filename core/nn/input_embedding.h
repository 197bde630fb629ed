// Computes the first hidden states of a batch, from token ids or from features.
#pragma once
#include "core/nn/parameter.h"
#include "core/nn/token_batch.h"

namespace moe {

class InputEmbedding {
 public:
  virtual ~InputEmbedding() = default;
  // batch -> hidden (tokens, d_model)
  virtual Tensor forward(Context& ctx, const TokenBatch& batch) = 0;
  // d_hidden (tokens, d_model) for the batch of the last forward(), undefined on return. Adds to the parameters'
  // gradients.
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) = 0;
  // The table (vocab, d_model) that an output head may share; null if tokens have no ids.
  virtual Parameter* table() { return nullptr; }
};

}  // namespace moe
