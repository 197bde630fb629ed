// Hidden states from token ids: rows of a table.
#pragma once
#include "core/nn/input_embedding.h"

namespace moe {

class TokenEmbedding : public InputEmbedding {
 public:
  TokenEmbedding(ParameterStore& parameters, int64_t vocab, int64_t d_model, double init_std);
  Tensor forward(Context& ctx, const TokenBatch& batch) override;
  void backward(Context& ctx, const TokenBatch& batch, ConstTensor d_hidden) override;
  Parameter* table() override { return &table_; }

 private:
  Parameter& table_;  // (vocab, d_model)
};

}  // namespace moe
