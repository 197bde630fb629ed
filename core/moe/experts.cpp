#include "core/moe/experts.h"

#include <algorithm>
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
                 const FeedForwardShape& shape, int layer, bool small_init, int64_t copies)
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
  if (shape.bias) {
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
  for (Parameter* p : this->parameters()) {
    if (p) p->num_copies = copies;
  }
}

void Experts::rename(const std::vector<int64_t>& local) {
  MOE_CHECK(std::ssize(local) == count_, "{} experts for stacks of {}", local.size(), count_);
  for (Parameter* p : parameters()) {
    if (p) p->experts = local;
  }
}

void Experts::drop(Context& ctx, Tensor activated, ConstTensor numbers) const {
  if (!numbers) return;
  dropout(ctx, activated, hidden_dropout(ctx),
          ctx.random(RandomPurpose::expert_hidden_dropout, static_cast<uint32_t>(layer_)), 0, numbers);
}

Experts::Saved Experts::Saved::slice(Share part) const {
  const auto of = [&](auto tensor) { return tensor ? tensor.slice(part.begin, part.count) : tensor; };
  return {of(rows), of(z), of(activated), of(numbers)};
}

Experts::Saved Experts::allocate_hidden(Context& ctx, ConstTensor rows, ConstTensor numbers) const {
  const int64_t num_rows = rows.dim(0);
  MOE_CHECK(bool(numbers) == drops_hidden(ctx), "row numbers must be given exactly when hidden units are dropped");
  return {.rows = rows,
          .z = ctx.allocate(Shape{num_rows, width_factor(shape_.activation) * shape_.d_ff}),
          .activated = ctx.allocate(Shape{num_rows, shape_.d_ff}),
          .numbers = numbers};
}

// Products of experts and of copies are computed one after the other, because their weights are not next to each other.
// Rows are addressed by `offsets`, so both take all rows of the range.
template <class Work>
void Experts::for_runs(const Range& range, Work work) const {
  const int64_t begin = range.local.begin, own = std::clamp<int64_t>(count_ - begin, 0, range.local.count),
                copies = range.local.count - own;
  if (own > 0 || copies == 0) work(Run{{begin, own}, false, range.offsets.slice(0, own + 1)});
  if (copies > 0) work(Run{{begin + own - count_, copies}, true, range.offsets.slice(own, copies + 1)});
}

void Experts::hidden(Context& ctx, const Range& range, const Saved& saved) const {
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::forward, saved.rows.dim(0));
  for_runs(range, [&](const Run& run) {
    const ConstTensor weight = run.weight(input_);
    if (input_bias_) {
      grouped_gemm_forward(ctx, saved.z, saved.rows, weight, run.offsets);
      bias_forward(ctx, saved.z, run.weight(*input_bias_), run.offsets);
    } else {
      grouped_gemm_activate_forward(ctx, saved.activated, saved.z, saved.rows, weight, run.offsets, shape_.activation);
    }
  });
  if (input_bias_) activation_forward(ctx, saved.activated, saved.z, shape_.activation, range.offsets);
  drop(ctx, saved.activated, saved.numbers);
}

void Experts::forward(Context& ctx, const Range& range, Tensor out, const Saved& saved) const {
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::forward, saved.rows.dim(0));
  hidden(ctx, range, saved);
  for_runs(range, [&](const Run& run) {
    grouped_gemm_forward(ctx, out, saved.activated, run.weight(output_), run.offsets);
    if (output_bias_) bias_forward(ctx, out, run.weight(*output_bias_), run.offsets);
  });
}

Experts::Accumulates Experts::begin_backward() {
  Accumulates accumulates{};
  for (size_t i = 0; i < accumulates.size(); ++i) {
    if (Parameter* const p = parameters()[i]) accumulates[i] = !std::exchange(p->gradient_is_old, false);
  }
  return accumulates;
}

void Experts::backward(Context& ctx, const Range& range, const Accumulates& accumulates, Tensor d_rows,
                       ConstTensor d_out, const Saved& saved) {
  const ComputeScope compute(ctx, ComputePart::experts, ComputeDirection::backward, d_rows.dim(0));
  const auto [input, output, input_bias, output_bias] = accumulates;
  ScratchScope scratch(ctx);
  const Tensor d_activated = scratch.allocate(saved.activated.shape);
  for_runs(range, [&, output = output, output_bias = output_bias](const Run& run) {
    if (output_bias_) bias_backward(ctx, run.gradient(*output_bias_), d_out, run.offsets, output_bias);
    grouped_gemm_backward_weight(ctx, run.gradient(output_), d_out, saved.activated, run.offsets, output);
    grouped_gemm_backward_input(ctx, d_activated, d_out, run.weight(output_), run.offsets);
  });
  drop(ctx, d_activated, saved.numbers);
  const Tensor d_z = scratch.allocate(saved.z.shape);
  activation_backward(ctx, d_z, d_activated, saved.z, shape_.activation, range.offsets);
  for_runs(range, [&, input = input, input_bias = input_bias](const Run& run) {
    if (input_bias_) bias_backward(ctx, run.gradient(*input_bias_), d_z, run.offsets, input_bias);
    grouped_gemm_backward_weight(ctx, run.gradient(input_), d_z, saved.rows, run.offsets, input);
    grouped_gemm_backward_input(ctx, d_rows, d_z, run.weight(input_), run.offsets);
  });
}

}  // namespace moe
