// Hidden states from token ids: rows of a table. A class token, where there is one, takes the place of the last token
// of each text: behind all others, so that with causal attention it sees them.
#pragma once
#include "core/nn/input_embedding.h"

namespace moe {

class TokenEmbedding : public InputEmbedding {
 public:
  TokenEmbedding(ParameterStore& parameters, int64_t vocab, int64_t d_model, double init_std, bool class_token = false);
  Tensor forward(Context& ctx, const TokenBatch& batch) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) override;
  Parameter* table() override { return &table_; }

 private:
  Parameter& table_;                  // (vocab, d_model)
  Parameter* class_token_ = nullptr;  // (d_model)
};

}  // namespace moe
