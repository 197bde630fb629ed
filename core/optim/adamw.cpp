#include "core/optim/adamw.h"

#include "core/ops/adamw.h"
#include "core/ops/elementwise.h"

namespace moe {

AdamW::AdamW(Context& ctx, ParameterStore& parameters, const OptimizerConfig& config)
    : parameters_(parameters), config_(config) {
  const DType stored = parameters.buffer(ParameterGroup::shared).value.dtype;
  const bool rounds = wide(stored) != stored;
  size_t elements = 0;
  for (const ParameterGroup group : kTrainedGroups) {
    elements += static_cast<size_t>(parameters.buffer(group).value.size());
  }
  arena_ = std::make_unique<Arena>(
      ctx.planning
          ? Arena::planning("optimizer", ctx.device)
          : Arena("optimizer", ctx.device, (rounds ? 3 : 2) * elements * size_of(wide(stored)) + 512, ctx.managed));
  for (const ParameterGroup group : kTrainedGroups) {
    const Tensor like = parameters.buffer(group).value;
    Moments& moments = moments_[static_cast<size_t>(group)];
    moments = {arena_->allocate(like.shape, wide(stored)), arena_->allocate(like.shape, wide(stored)),
               rounds ? arena_->allocate(like.shape, wide(stored)) : Tensor{}};
    fill_zero(ctx, moments.first);
    fill_zero(ctx, moments.second);
    if (rounds) convert(ctx, moments.master, like);
    ranges_[static_cast<size_t>(group)] = parameter_ranges(parameters, group, config.classes);
  }
}

void AdamW::step(Context& ctx, double learning_rate, double weight_decay, double gradient_scale, int64_t update) {
  AdamWStep step{learning_rate, config_.beta1, config_.beta2, config_.eps, 0, gradient_scale, update};
  for (const ParameterGroup group : kTrainedGroups) {
    const ParameterBuffer& buffer = parameters_.buffer(group);
    const Moments& moments = moments_[static_cast<size_t>(group)];
    step.clear_gradient = group != ParameterGroup::expert;
    for (const auto& [begin, count, rate, decay] : ranges_[static_cast<size_t>(group)]) {
      step.learning_rate = rate * learning_rate;
      step.weight_decay = decay * weight_decay;
      adamw(ctx, buffer.value.slice(begin, count), moments.first.slice(begin, count),
            moments.second.slice(begin, count), buffer.gradient.slice(begin, count), step,
            moments.master ? moments.master.slice(begin, count) : Tensor{});
    }
    if (!step.clear_gradient) parameters_.mark_gradients_old(group);
  }
}

size_t AdamW::bytes() const {
  return arena_->used();
}

}  // namespace moe
