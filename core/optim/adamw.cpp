#include "core/optim/adamw.h"

#include "core/ops/adamw.h"
#include "core/ops/elementwise.h"

namespace moe {

AdamW::AdamW(Context& ctx, ParameterStore& parameters, const OptimizerConfig& config)
    : parameters_(parameters), config_(config) {
  arena_ =
      std::make_unique<Arena>(ctx.planning ? Arena::planning("optimizer", ctx.device)
                                           : Arena("optimizer", ctx.device, 2 * parameters.parameter_bytes() + 512));
  for (const ParameterGroup group : kTrainedGroups) {
    const Tensor like = parameters.buffer(group).value;
    Moments& moments = moments_[static_cast<size_t>(group)];
    moments = {arena_->allocate(like.shape, like.dtype), arena_->allocate(like.shape, like.dtype)};
    fill_zero(ctx, moments.first);
    fill_zero(ctx, moments.second);
  }
}

void AdamW::step(Context& ctx, double learning_rate, double gradient_scale, int64_t update) {
  AdamWStep step{learning_rate, config_.beta1, config_.beta2, config_.eps, 0, gradient_scale, update};
  for (const ParameterGroup group : kTrainedGroups) {
    const ParameterBuffer& buffer = parameters_.buffer(group);
    const Moments& moments = moments_[static_cast<size_t>(group)];
    auto range = [&](int64_t begin, int64_t count, double weight_decay) {
      step.weight_decay = weight_decay;
      adamw(ctx, buffer.value.slice(begin, count), moments.first.slice(begin, count),
            moments.second.slice(begin, count), buffer.gradient.slice(begin, count), step);
    };
    range(0, buffer.num_decayed, config_.weight_decay);
    range(buffer.num_decayed, buffer.value.size() - buffer.num_decayed, 0);
  }
}

size_t AdamW::bytes() const {
  return arena_->used();
}

}  // namespace moe
