#include "core/nn/feed_forward.h"

#include "core/ops/dropout.h"
#include "core/tensor/compute_parts.h"
#include "core/tensor/recomputation.h"

namespace moe {

DenseFeedForward::DenseFeedForward(ParameterStore& parameters, const std::string& name, const FeedForwardShape& shape,
                                   const ParameterPlace& place)
    : shape_(shape),
      layer_(place.layer),
      input_(parameters, {place.role, place.layer, FeedForwardPart::input_weight}, name + ".input", shape.d_model,
             width_factor(shape.activation) * shape.d_ff, shape.input_std, shape.bias),
      output_(parameters, {place.role, place.layer, FeedForwardPart::output_weight}, name + ".output", shape.d_ff,
              shape.d_model, shape.output_std, shape.bias) {}

void DenseFeedForward::drop(Context& ctx, Tensor activated) const {
  if (!ctx.training || !shape_.hidden_dropout) return;
  dropout(ctx, activated, now(*shape_.hidden_dropout, ctx),
          ctx.random(RandomPurpose::hidden_dropout, static_cast<uint32_t>(layer_)), ctx.first_token);
}

void DenseFeedForward::hidden(Context& ctx, ConstTensor x) {
  const int64_t tokens = x.dim(0);
  saved_ = {x, ctx.allocate(Shape{tokens, width_factor(shape_.activation) * shape_.d_ff}),
            ctx.allocate(Shape{tokens, shape_.d_ff})};
  input_.forward(ctx, saved_.z, x);
  activation_forward(ctx, saved_.activated, saved_.z, shape_.activation);
  drop(ctx, saved_.activated);
}

Tensor DenseFeedForward::forward(Context& ctx, const TokenBatch&, ConstTensor x) {
  const ComputeScope compute(ctx, ComputePart::feed_forward, ComputeDirection::forward, x.dim(0));
  const auto output = [&] {
    const KeepScope keep(ctx, shape_.recompute);  // when this is done within another layer's scope
    return ctx.allocate(x.shape);
  };
  const Tensor y = output();
  const TransientScope transient(ctx, shape_.recompute);
  hidden(ctx, x);
  output_.forward(ctx, y, saved_.activated);
  return y;
}

void DenseFeedForward::backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_y) {
  const ComputeScope compute(ctx, ComputePart::feed_forward, ComputeDirection::backward, d_x.dim(0));
  const ActivationScope again(ctx);
  if (shape_.recompute) hidden(ctx, saved_.x);
  ScratchScope scratch(ctx);
  const Tensor d_activated = scratch.allocate(saved_.activated.shape);
  output_.backward(ctx, d_activated, d_y, saved_.activated);
  drop(ctx, d_activated);
  const Tensor d_z = scratch.allocate(saved_.z.shape);
  activation_backward(ctx, d_z, d_activated, saved_.z, shape_.activation);
  input_.backward(ctx, d_x, d_z, saved_.x);
}

}  // namespace moe
