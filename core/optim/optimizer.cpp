#include "core/optim/optimizer.h"

#include <algorithm>

#include "core/ops/elementwise.h"
#include "core/ops/packed_weights.h"

namespace moe {

Member adamw_optimizer();
Member sgd_optimizer();

template <>
const Table<Member>& family<Optimizer>() {
  static const Table<Member> table{"optimizer",
                                   {
                                       adamw_optimizer(),
                                       sgd_optimizer(),
                                   }};
  return table;
}

Optimizer::Optimizer(const OptimizerOptions& options, const Setup& setup, std::vector<OptimizerStateKind> kinds)
    : parameters_(setup.parameters), weight_decay_(options.weight_decay.make(setup.run)), kinds_(std::move(kinds)) {
  MOE_CHECK(kinds_.size() <= kMostStates, "{} kinds of state", kinds_.size());
  Context& ctx = setup.ctx;
  const DType stored = parameters_.buffer(ParameterGroup::shared).value.dtype;
  const bool rounds = wide(stored) != stored;
  size_t elements = 0;
  for (const ParameterGroup group : kTrainedGroups) {
    elements += static_cast<size_t>(parameters_.buffer(group).value.size());
  }
  const size_t tensors = kinds_.size() + (rounds ? 1 : 0);
  // Every tensor begins at a multiple of 64 bytes, and an arena is never empty.
  const size_t padding = 64 * (tensors * kTrainedGroups.size() + 1);
  arena_ = std::make_unique<Arena>(
      ctx.planning ? Arena::planning("optimizer", ctx.device)
                   : Arena("optimizer", ctx.device, tensors * elements * size_of(wide(stored)) + padding, ctx.managed));
  for (const ParameterGroup name : kTrainedGroups) {
    const Tensor like = parameters_.buffer(name).value;
    Group& group = groups_[as_index(name)];
    for (size_t i = 0; i < kinds_.size(); ++i) {
      group.states.push_back(arena_->allocate(like.shape, wide(stored)));
      fill_zero(ctx, group.states.back());
    }
    if (rounds) {
      group.master = arena_->allocate(like.shape, wide(stored));
      convert(ctx, group.master, like);
    }
    group.ranges = parameter_ranges(parameters_, name, options.classes);
  }
}

void Optimizer::step(Context& ctx, const OptimizerUpdate& update) {
  PackedWeights::expect_no_scope(ctx);
  const double weight_decay = weight_decay_.at(static_cast<uint64_t>(update.number));
  for (const ParameterGroup name : kTrainedGroups) {
    const ParameterBuffer& buffer = parameters_.buffer(name);
    const Group& group = groups_[as_index(name)];
    // The experts' gradients have one writer, which overwrites what is marked as old: clearing would cost a pass.
    const bool clear_gradient = name != ParameterGroup::expert;
    for (const ParameterRange& range : group.ranges) {
      const auto slice = [&](const Tensor& whole) { return whole.slice(range.begin, range.count); };
      // An array, since a step allocates nothing.
      std::array<Tensor, kMostStates> states;
      std::transform(group.states.begin(), group.states.end(), states.begin(), slice);
      this->update(ctx, {.weight = slice(buffer.value),
                         .master = group.master ? slice(group.master) : Tensor{},
                         .gradient = slice(buffer.gradient),
                         .states = std::span(states).first(group.states.size()),
                         .learning_rate = range.learning_rate * update.learning_rate,
                         .weight_decay = range.weight_decay * weight_decay,
                         .gradient_scale = update.gradient_scale,
                         .update = update.number + 1,
                         .clear_gradient = clear_gradient});
    }
    if (!clear_gradient) parameters_.mark_gradients_old(name);
  }
}

}  // namespace moe
