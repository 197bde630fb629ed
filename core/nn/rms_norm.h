// RMS normalisation with its weight; keeps what backward needs.
#pragma once
#include "core/nn/parameter.h"

namespace moe {

class RMSNorm {
 public:
  RMSNorm(ParameterStore& parameters, const std::string& name, int64_t d, double eps);

  // x (tokens, d), which must live until backward -> (tokens, d)
  Tensor forward(Context& ctx, ConstTensor x);
  // Adds the input's gradient to d_x.
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y);

 private:
  Parameter& weight_;
  double eps_;
  struct {
    ConstTensor x;
    Tensor inverse_rms;
  } saved_;
};

}  // namespace moe
