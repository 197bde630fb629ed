#include "core/moe/shared_experts.h"

#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/routing_sums.h"
#include "core/ops/row_gate.h"

namespace moe {

static FeedForwardShape shape_of_all(const BuildContext& context) {
  FeedForwardShape shape = context.expert;
  shape.d_ff *= context.moe.shared_experts;
  return shape;
}

SharedExperts::SharedExperts(const BuildContext& context, MeasureSet& measures)
    : experts_(context.parameters, context.name + ".shared", shape_of_all(context),
               ParameterPlace{ParameterRole::shared_expert, context.layer}),
      measures_(measures) {
  if (!context.moe.shared_gate) return;
  gate_ = &context.parameters.add({ParameterRole::shared_expert, context.layer},
                                  {.name = context.name + ".shared_gate.weight",
                                   .shape = Shape{1, context.d_model()},
                                   .group = ParameterGroup::shared,
                                   .initialisation = {Initialisation::Kind::normal, context.init_std}});
  gate_figure_ = measures_.add_figure("shared_gate");
}

void SharedExperts::compute(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  saved_ = {x, experts_.forward(ctx, batch, x), {}};
}

void SharedExperts::add_to(Context& ctx, const TokenBatch& batch, Tensor y) {
  if (!gate_) return add(ctx, y, y, saved_.out);
  const int64_t tokens = y.dim(0);
  saved_.gates = ctx.allocate_wide(Shape{tokens});
  ScratchScope scratch(ctx);
  const Tensor logits = scratch.allocate_wide(Shape{tokens, 1});
  linear_forward(ctx, logits, saved_.x, gate_->value);
  row_gate_forward(ctx, y, saved_.gates, saved_.out, logits);
  measures_.observe_sum(
      ctx, gate_figure_,
      [&](Tensor sum) {
        column_sums(ctx, sum, saved_.gates.reshape(Shape{tokens, 1}), batch.targets);
      },
      static_cast<double>(batch.scored()));
}

SharedExperts::Gradient SharedExperts::allocate_gradient(ScratchScope& scratch, ConstTensor x) const {
  return {scratch.allocate(x.shape), gate_ ? scratch.allocate_wide(Shape{x.dim(0), 1}) : Tensor{}};
}

void SharedExperts::backward(Context& ctx, const TokenBatch& batch, const Gradient& gradient, ConstTensor d_y) {
  if (!gate_) return experts_.backward(ctx, batch, gradient.input, d_y);
  ScratchScope scratch(ctx);
  const Tensor d_out = scratch.allocate(d_y.shape);
  row_gate_backward(ctx, d_out, gradient.logits, d_y, saved_.out, saved_.gates);
  linear_backward_weight(ctx, gate_->gradient, gradient.logits, saved_.x);
  experts_.backward(ctx, batch, gradient.input, d_out);
}

void SharedExperts::add_to(Context& ctx, Tensor d_x, const Gradient& gradient) {
  add(ctx, d_x, d_x, gradient.input);
  if (gate_) linear_backward_input(ctx, d_x, gradient.logits, gate_->value, true);
}

}  // namespace moe
