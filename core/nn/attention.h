// Self-attention: fused query/key/value projection, optional norm of queries and keys, positions, attention, output
// projection. With model.attention.memory a token attends to a window of earlier tokens that reaches into previous
// segments.
#pragma once
#include <optional>

#include "core/config/model_config.h"
#include "core/nn/context_memory.h"
#include "core/nn/linear.h"
#include "core/nn/now.h"
#include "core/nn/token_batch.h"
#include "core/ops/rope_frequencies.h"
#include "core/ops/window_attention.h"

namespace moe {

class Attention {
 public:
  // `layer`: index of the layer's part of the context memory. `relative_positions` (memory, d_head) for `position:
  // relative`; not owned, and layers may share them.
  Attention(ParameterStore& parameters, const std::string& name, const ModelConfig& config, const RunLength& run,
            int64_t layer = 0, Parameter* relative_positions = nullptr);

  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x);
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y);
  // Appends the keys and values of the last forward() to the batch's context memory. Call it after backward(), which
  // reads the memory.
  void remember(Context& ctx, const TokenBatch& batch);

 private:
  AttentionDropout dropout_now(const Context& ctx, const TokenBatch& batch) const;
  void attend(Context& ctx, const TokenBatch& batch);
  Tensor turned_memory(Context& ctx, ScratchScope& scratch) const;
  void attend_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out);

  AttentionLayout layout_;       // without the time, which comes from the batch
  RopeFrequencies frequencies_;  // without dimensions: no rotation
  double norm_eps_;
  Linear qkv_, output_;
  Parameter* q_norm_ = nullptr;
  Parameter* k_norm_ = nullptr;
  int64_t layer_;
  AttentionWindow window_;  // without the memory's fill; size 0: the whole sequence
  Parameter* relative_positions_;
  Scheduled dropout_;
  struct {
    AttentionLayout layout;
    ConstTensor x;
    Tensor qkv_before_norm, inverse_rms;  // with q/k norm only
    Tensor qkv, out, logsumexp;
    AttentionWindow window;
    AttentionDropout dropout;
    Tensor memory;  // (sequences, positions, width) before its keys are rotated; absent if the memory is empty
  } saved_;
  Tensor recent_;  // keys and values to append to the memory
};

}  // namespace moe
