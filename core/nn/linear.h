// y = x W^T (+ b). The caller must keep x for backward.
#pragma once
#include "core/nn/parameter.h"

namespace moe {

class Linear {
 public:
  // `place`: the place of the matrix.
  Linear(ParameterStore& parameters, const ParameterPlace& place, const std::string& name, int64_t in, int64_t out,
         double init_std, bool bias = false);

  // x (rows, in) -> y (rows, out)
  void forward(Context& ctx, Tensor y, ConstTensor x) const;
  // d_y (rows, out) -> d_x (rows, in), overwritten. Adds to the parameters' gradients.
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) const;

  const Parameter& weight() const { return weight_; }

 private:
  Parameter& weight_;
  Parameter* bias_ = nullptr;  // (out)
};

}  // namespace moe
