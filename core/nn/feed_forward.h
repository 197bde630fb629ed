// The second half of a transformer block: one dense layer, or a mixture of experts (moe/moe_layer.h).
#pragma once
#include <optional>
#include <string>

#include "core/nn/linear.h"
#include "core/nn/now.h"
#include "core/nn/token_batch.h"
#include "core/ops/activation.h"

namespace moe {

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  virtual Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x) = 0;
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) = 0;
};

struct FeedForwardShape {
  int64_t d_model = 0, d_ff = 0;
  Activation activation = Activation::swiglu;
  double input_std = 0.02, output_std = 0.02;  // of the initial weights
  std::optional<Scheduled> hidden_dropout{};   // rate for a dense layer's activations; none: 0
  bool bias = false;
  bool recompute = false;  // z and the hidden units are not kept until backward, which computes them again
};

class DenseFeedForward : public FeedForward {
 public:
  // `place`: its block is a key of the random numbers.
  DenseFeedForward(ParameterStore& parameters, const std::string& name, const FeedForwardShape& shape,
                   const ParameterPlace& place);
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override;

 private:
  void drop(Context& ctx, Tensor activated) const;
  // x -> saved_
  void hidden(Context& ctx, ConstTensor x);

  FeedForwardShape shape_;
  int layer_;
  Linear input_, output_;
  struct {
    ConstTensor x;
    Tensor z, activated;
  } saved_;
};

}  // namespace moe
