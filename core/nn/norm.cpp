#include "core/nn/norm.h"

#include "core/ops/layer_norm.h"
#include "core/ops/rms_norm.h"

namespace moe {

static Parameter& add_vector(ParameterStore& parameters, const std::string& name, int64_t d, double value) {
  return parameters.add({ParameterRole::norm}, {.name = name,
                                                .shape = Shape{d},
                                                .group = ParameterGroup::shared,
                                                .initialisation = {Initialisation::Kind::constant, value},
                                                .decay = false});
}

Norm::Norm(ParameterStore& parameters, const std::string& name, int64_t d, double eps, const std::string& kind)
    : weight_(add_vector(parameters, name + ".weight", d, 1)), eps_(eps) {
  if (kind == "layer") bias_ = &add_vector(parameters, name + ".bias", d, 0);
}

Tensor Norm::forward(Context& ctx, ConstTensor x) {
  const Tensor y = ctx.allocate(x.shape);
  if (bias_) {
    saved_ = {x, ctx.allocate_wide(Shape{x.dim(0), 2})};
    layer_norm_forward(ctx, y, saved_.statistics, x, weight_.value, bias_->value, eps_);
  } else {
    saved_ = {x, ctx.allocate_wide(Shape{x.dim(0)})};
    rms_norm_forward(ctx, y, saved_.statistics, x, weight_.value, eps_);
  }
  return y;
}

void Norm::backward(Context& ctx, Tensor d_x, ConstTensor d_y) {
  if (bias_) {
    layer_norm_backward(ctx, d_x, weight_.gradient, bias_->gradient, d_y, saved_.x, weight_.value, saved_.statistics,
                        true);
  } else {
    rms_norm_backward(ctx, d_x, weight_.gradient, d_y, saved_.x, weight_.value, saved_.statistics, true);
  }
}

}  // namespace moe
