#include "core/nn/rms_norm.h"

#include "core/ops/rms_norm.h"

namespace moe {

RMSNorm::RMSNorm(ParameterStore& parameters, const std::string& name, int64_t d, double eps)
    : weight_(parameters.add(
          {name + ".weight", Shape{d}, ParameterGroup::shared, {Initialisation::Kind::constant, 1}, false})),
      eps_(eps) {}

Tensor RMSNorm::forward(Context& ctx, ConstTensor x) {
  const Tensor y = ctx.allocate(x.shape);
  saved_ = {x, ctx.allocate_wide(Shape{x.dim(0)})};
  rms_norm_forward(ctx, y, saved_.inverse_rms, x, weight_.value, eps_);
  return y;
}

void RMSNorm::backward(Context& ctx, Tensor d_x, ConstTensor d_y) {
  rms_norm_backward(ctx, d_x, weight_.gradient, d_y, saved_.x, weight_.value, saved_.inverse_rms, true);
}

}  // namespace moe
