// A pre-norm transformer block: h += attention(norm(h)); h += feed_forward(norm(h)).
#pragma once
#include <memory>

#include "core/nn/attention.h"
#include "core/nn/feed_forward.h"
#include "core/nn/rms_norm.h"

namespace moe {

class TransformerBlock {
 public:
  // `make_feed_forward` adds the second half's parameters under the given name.
  template <class Make>
  TransformerBlock(ParameterStore& parameters, const std::string& name, int layer, const ModelConfig& config,
                   Make make_feed_forward)
      : layer_(layer),
        dropout_(config.dropout),
        attention_norm_(parameters, name + ".attention_norm", config.d_model, config.norm_eps),
        attention_(parameters, name + ".attention", config),
        feed_forward_norm_(parameters, name + ".feed_forward_norm", config.d_model, config.norm_eps),
        feed_forward_(make_feed_forward(name)) {}

  // hidden (tokens, d_model) -> the next hidden (tokens, d_model)
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor hidden);
  // d_hidden: the gradient of the result on entry, of the input on return
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  FeedForward& feed_forward() { return *feed_forward_; }

 private:
  // The branch's output with dropout, added to the residual stream.
  Tensor add_branch(Context& ctx, ConstTensor hidden, Tensor branch, uint32_t branch_index);

  int layer_;
  double dropout_;
  RMSNorm attention_norm_;
  Attention attention_;
  RMSNorm feed_forward_norm_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace moe
