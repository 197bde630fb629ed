// Hidden states from token ids, looked up in a table. A class token, if there is one, replaces the last token of each
// text. It comes after all others, so that with causal attention it attends to them.
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
