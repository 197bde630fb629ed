#include "core/moe/experts.h"

#include <utility>

#include "core/ops/bias.h"
#include "core/ops/dropout.h"
#include "core/ops/grouped_gemm.h"
#include "core/tensor/compute_parts.h"

namespace moe {

static Parameter expert_stack(const std::string& name, const std::vector<int64_t>& experts, Shape shape, double std,
                              int64_t d_model, bool small) {
  Parameter p;
  p.name = name;
  p.shape = shape;
  p.group = ParameterGroup::expert;
  p.initialisation = small ? Initialisation{Initialisation::Kind::uniform, 1.0 / static_cast<double>(d_model)}
                           : Initialisation{Initialisation::Kind::normal, std};
  p.experts = experts;
  return p;
}

Experts::Experts(ParameterStore& parameters, const std::string& name, const std::vector<int64_t>& local,
                 const FeedForwardShape& shape, int layer, bool small_init)
    : count_(std::ssize(local)),
      shape_(shape),
      layer_(layer),
      input_(parameters.add({ParameterRole::expert, layer, FeedForwardPart::input_weight},
                            expert_stack(name + ".experts.{}.input.weight", local,
                                         {count_, width_factor(shape.activation) * shape.d_ff, shape.d_model},
                                         shape.input_std, shape.d_model, small_init))),
      output_(
          parameters.add({ParameterRole::expert, layer, FeedForwardPart::output_weight},
                         expert_stack(name + ".experts.{}.output.weight", local, {count_, shape.d_model, shape.d_ff},
                                      shape.output_std, shape.d_model, small_init))) {
  if (!shape.bias) return;
  const auto biases = [&](FeedForwardPart part, const char* which, int64_t n) {
    Parameter p = expert_stack(name + which, local, {count_, n}, 0, shape.d_model, false);
    p.initialisation = {Initialisation::Kind::constant, 0};
    p.decay = false;
    return &parameters.add({ParameterRole::expert, layer, part}, p);
  };
  input_bias_ =
      biases(FeedForwardPart::input_bias, ".experts.{}.input.bias", width_factor(shape.activation) * shape.d_ff);
  output_bias_ = biases(FeedForwardPart::output_bias, ".experts.{}.output.bias", shape.d_model);
}

void Experts::rename(const std::vector<int64_t>& local) {
  MOE_CHECK(std::ssize(local) == count_, "{} experts for stacks of {}", local.size(), count_);
  for (Parameter* p : {&input_, &output_, input_bias_, output_bias_}) {
    if (p) p->experts = local;
  }
}

void Experts::drop(Context& ctx, Tensor activated, ConstTensor numbers) const {
  if (!numbers) return;
  dropout(ctx, activated, hidden_dropout(ctx),
          ctx.random(RandomPurpose::expert_hidden_dropout, static_cast<uint32_t>(layer_)), 0, numbers);
}

Experts::Saved Experts::hidden(Context& ctx, ConstTensor rows, ConstTensor offsets, ConstTensor numbers) const {
  const int64_t num_rows = rows.dim(0);
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::forward, num_rows);
  MOE_CHECK(bool(numbers) == drops_hidden(ctx), "row numbers must be given exactly when hidden units are dropped");
  const Saved saved{.rows = rows,
                    .offsets = offsets,
                    .z = ctx.allocate(Shape{num_rows, width_factor(shape_.activation) * shape_.d_ff}),
                    .activated = ctx.allocate(Shape{num_rows, shape_.d_ff}),
                    .numbers = numbers};
  if (input_bias_) {
    grouped_gemm_forward(ctx, saved.z, rows, input_.value, offsets);
    bias_forward(ctx, saved.z, input_bias_->value, offsets);
    activation_forward(ctx, saved.activated, saved.z, shape_.activation, offsets);
  } else {
    grouped_gemm_activate_forward(ctx, saved.activated, saved.z, rows, input_.value, offsets, shape_.activation);
  }
  drop(ctx, saved.activated, numbers);
  return saved;
}

Experts::Saved Experts::forward(Context& ctx, Tensor out, ConstTensor rows, ConstTensor offsets,
                                ConstTensor numbers) const {
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::forward, rows.dim(0));
  const Saved saved = hidden(ctx, rows, offsets, numbers);
  grouped_gemm_forward(ctx, out, saved.activated, output_.value, offsets);
  if (output_bias_) bias_forward(ctx, out, output_bias_->value, offsets);
  return saved;
}

void Experts::backward(Context& ctx, Tensor d_rows, ConstTensor d_out, const Saved& saved) {
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::backward, d_rows.dim(0));
  ScratchScope scratch(ctx);
  const Tensor d_activated = scratch.allocate(saved.activated.shape);
  const auto bias_gradient = [&](Parameter* bias, ConstTensor d_y) {
    if (bias) bias_backward(ctx, bias->gradient, d_y, saved.offsets, !std::exchange(bias->gradient_is_old, false));
  };
  bias_gradient(output_bias_, d_out);
  grouped_gemm_backward_weight(ctx, output_.gradient, d_out, saved.activated, saved.offsets,
                               !std::exchange(output_.gradient_is_old, false));
  grouped_gemm_backward_input(ctx, d_activated, d_out, output_.value, saved.offsets);
  drop(ctx, d_activated, saved.numbers);
  const Tensor d_z = scratch.allocate(saved.z.shape);
  activation_backward(ctx, d_z, d_activated, saved.z, shape_.activation, saved.offsets);
  bias_gradient(input_bias_, d_z);
  grouped_gemm_backward_weight(ctx, input_.gradient, d_z, saved.rows, saved.offsets,
                               !std::exchange(input_.gradient_is_old, false));
  grouped_gemm_backward_input(ctx, d_rows, d_z, input_.value, saved.offsets);
}

}  // namespace moe
