#include "core/nn/linear.h"

#include "core/ops/bias.h"
#include "core/ops/matmul.h"

namespace moe {

static ParameterPlace bias_of(ParameterPlace place) {
  if (place.part == FeedForwardPart::input_weight) place.part = FeedForwardPart::input_bias;
  if (place.part == FeedForwardPart::output_weight) place.part = FeedForwardPart::output_bias;
  return place;
}

Linear::Linear(ParameterStore& parameters, const ParameterPlace& place, const std::string& name, int64_t in,
               int64_t out, double init_std, bool bias)
    : weight_(parameters.add(
          place,
          {name + ".weight", Shape{out, in}, ParameterGroup::shared, {Initialisation::Kind::normal, init_std}})) {
  if (bias) bias_ = &parameters.add(bias_of(place), bias_vector(name + ".bias", out));
}

void Linear::forward(Context& ctx, Tensor y, ConstTensor x) const {
  linear_forward(ctx, y, x, weight_.value, ctx.products);
  if (bias_) bias_forward(ctx, y, bias_->value);
}

void Linear::backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) const {
  linear_backward_weight(ctx, weight_.gradient, d_y, x, ctx.products);
  if (bias_) bias_backward(ctx, bias_->gradient, d_y);
  linear_backward_input(ctx, d_x, d_y, weight_.value, false, ctx.products);
}

}  // namespace moe
