// Normalisation of the residual stream with a learned weight, by the root mean square or as layer norm with a bias. It
// stores what backward needs.
#pragma once
#include "core/config/model_config.h"
#include "core/nn/parameter.h"

namespace moe {

class Norm {
 public:
  // `kind` as in model.norm.
  Norm(ParameterStore& parameters, const std::string& name, int64_t d, double eps, const std::string& kind = "rms");
  // A norm of width d_model.
  Norm(ParameterStore& parameters, const std::string& name, const ModelConfig& config)
      : Norm(parameters, name, config.d_model, config.norm_eps, config.norm) {}

  // x (tokens, d), which must live until backward -> (tokens, d)
  Tensor forward(Context& ctx, ConstTensor x);
  // Adds the input's gradient to d_x.
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y);

 private:
  Parameter& weight_;
  Parameter* bias_ = nullptr;  // of layer norm
  double eps_;
  struct {
    ConstTensor x;
    Tensor statistics;  // per row: 1 / rms, or the two statistics of layer norm
  } saved_;
};

}  // namespace moe
