// Learned positions: a table with one row for each position in a sequence, which is added to the hidden states.
#pragma once
#include "core/nn/parameter.h"

namespace moe {

class PositionTable {
 public:
  // For sequences of up to `time` tokens.
  PositionTable(ParameterStore& parameters, int64_t time, int64_t d_model, double init_std);
  // hidden (sequences * time, d_model) += the row of each token's position. `begins`: TokenBatch::document_begins;
  // `starts`: TokenBatch::starts.
  void forward(Context& ctx, Tensor hidden, int64_t time, ConstTensor begins = {}, ConstTensor starts = {});
  int64_t positions() const { return table_.shape[0]; }
  void backward(Context& ctx, ConstTensor d_hidden);

 private:
  Parameter& table_;  // (time, d_model)
  struct {
    Tensor ids;
  } saved_;
};

}  // namespace moe
