// Self-attention: fused query/key/value projection, optional per-head norm, rotary positions, attention, output
// projection.
#pragma once
#include <optional>

#include "core/config/model_config.h"
#include "core/nn/linear.h"
#include "core/nn/token_batch.h"
#include "core/ops/attention_layout.h"

namespace moe {

class Attention {
 public:
  Attention(ParameterStore& parameters, const std::string& name, const ModelConfig& config);

  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x);
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y);

 private:
  AttentionLayout layout_;  // without the time, which is the batch's
  int64_t rotary_dims_;     // 0: no rotation
  double rope_theta_, norm_eps_;
  Linear qkv_, output_;
  Parameter* q_norm_ = nullptr;
  Parameter* k_norm_ = nullptr;
  struct {
    AttentionLayout layout;
    ConstTensor x;
    Tensor qkv_before_norm, inverse_rms;  // with q/k norm only
    Tensor qkv, out, logsumexp;
  } saved_;
};

}  // namespace moe
