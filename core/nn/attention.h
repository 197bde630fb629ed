// Self-attention: fused query/key/value projection, optional per-head norm, positions, attention, output projection.
// With model.attention.memory a token sees a window of earlier ones that reaches into the segments before.
#pragma once
#include <optional>

#include "core/config/model_config.h"
#include "core/nn/context_memory.h"
#include "core/nn/linear.h"
#include "core/nn/now.h"
#include "core/nn/token_batch.h"
#include "core/ops/window_attention.h"

namespace moe {

class Attention {
 public:
  // `layer`: whose part of a memory this is. `relative_positions` (memory, d_head) for `position: relative`; they
  // belong to somebody else, and layers may share them.
  Attention(ParameterStore& parameters, const std::string& name, const ModelConfig& config, const RunLength& run,
            int64_t layer = 0, Parameter* relative_positions = nullptr);

  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x);
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y);
  // Puts the keys and values of the last forward() into the batch's memory; after backward(), which reads it.
  void remember(Context& ctx, const TokenBatch& batch);

 private:
  AttentionDropout dropout_now(const Context& ctx, const TokenBatch& batch) const;
  void attend(Context& ctx, const TokenBatch& batch);
  Tensor turned_memory(Context& ctx, ScratchScope& scratch) const;
  void attend_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out);

  AttentionLayout layout_;  // without the time, which is the batch's
  int64_t rotary_dims_;     // 0: no rotation
  double rope_theta_, norm_eps_;
  Linear qkv_, output_;
  Parameter* q_norm_ = nullptr;
  Parameter* k_norm_ = nullptr;
  int64_t layer_;
  AttentionWindow window_;  // without what the memory holds; size 0: the whole sequence
  Parameter* relative_positions_;
  Scheduled dropout_;
  struct {
    AttentionLayout layout;
    ConstTensor x;
    Tensor qkv_before_norm, inverse_rms;  // with q/k norm only
    Tensor qkv, out, logsumexp;
    AttentionWindow window;
    AttentionDropout dropout;
    Tensor memory;  // (sequences, positions, width) before a window's keys are turned; absent when it holds nothing
    Tensor recent;  // what is to be remembered
  } saved_;
};

}  // namespace moe
