// An optional layer d_model -> d_model with tanh between a classifier's pooled row and its output head (as in the
// published fine-tuning of CompeteSMoE's backbones, arXiv 2402.02526).
#pragma once
#include "core/nn/linear.h"

namespace moe {

class HeadLayer {
 public:
  HeadLayer(ParameterStore& parameters, int64_t d_model, double init_std, bool bias)
      : linear_(parameters, {ParameterRole::head}, "head.hidden", d_model, d_model, init_std, bias) {}

  // x (rows, d_model), which must live until backward -> (rows, d_model), in the activations arena
  Tensor forward(Context& ctx, ConstTensor x);
  // d_y (rows, d_model), undefined on return -> d_x like x, overwritten
  void backward(Context& ctx, Tensor d_x, Tensor d_y);

 private:
  Linear linear_;
  struct {
    ConstTensor x;
    Tensor y;
  } saved_;
};

}  // namespace moe
