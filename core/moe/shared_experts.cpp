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

void SharedExperts::forward(Context& ctx, const TokenBatch& batch, Tensor y, ConstTensor x) {
  const Tensor out = experts_.forward(ctx, batch, x);
  if (!gate_) return add(ctx, y, y, out);
  const int64_t tokens = x.dim(0);
  saved_ = {x, out, ctx.allocate_wide(Shape{tokens})};
  ScratchScope scratch(ctx);
  const Tensor logits = scratch.allocate_wide(Shape{tokens, 1});
  linear_forward(ctx, logits, x, gate_->value);
  row_gate_forward(ctx, y, saved_.gates, out, logits);
  measures_.observe_sum(
      ctx, gate_figure_,
      [&](Tensor sum) {
        column_sums(ctx, sum, saved_.gates.reshape(Shape{tokens, 1}), batch.targets);
      },
      static_cast<double>(batch.scored()));
}

void SharedExperts::backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) {
  ScratchScope scratch(ctx);
  const Tensor d_in = scratch.allocate(d_x.shape);
  if (!gate_) {
    experts_.backward(ctx, batch, d_in, d_y);
    return add(ctx, d_x, d_x, d_in);
  }
  const Tensor d_out = scratch.allocate(d_y.shape), d_logits = scratch.allocate_wide(Shape{d_y.dim(0), 1});
  row_gate_backward(ctx, d_out, d_logits, d_y, saved_.out, saved_.gates);
  linear_backward_weight(ctx, gate_->gradient, d_logits, saved_.x);
  experts_.backward(ctx, batch, d_in, d_out);
  add(ctx, d_x, d_x, d_in);
  linear_backward_input(ctx, d_x, d_logits, gate_->value, true);
}

}  // namespace moe
