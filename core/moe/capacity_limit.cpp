#include "core/moe/capacity_limit.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "core/ops/elementwise.h"
#include "core/ops/routing_sums.h"
#include "core/tensor/copy.h"
#include "core/tensor/device_sums.h"

namespace moe {

CapacityLimit::CapacityLimit(const BuildContext& setup, LoadStats& load)
    : experts_(setup.experts),
      capacity_(setup.moe.capacity.make(setup)),
      rule_(capacity_->options().drop == "score" ? DropRule::score : DropRule::position),
      load_(load),
      sums_(setup.sums),
      candidate_range_(setup.sums->reserve(capacity_->candidates().size())),
      measures_(setup.measures),
      loss_measures_(setup.loss_measures) {
  if (!trains_bounded() && !evaluates_bounded()) return;
  capacity_figure_ = measures_->add_figure("capacity");
  dropped_figure_ = measures_->add_figure("dropped");
  lost_tokens_figure_ = loss_measures_->add_figure("tokens_dropped");
  lost_loss_figure_ = loss_measures_->add_figure("loss_dropped");
  kept_loss_figure_ = loss_measures_->add_figure("loss_kept");
}

// GroupRoom limits the places to the number of tokens, because no expert gets a token twice.
GroupRoom CapacityLimit::room(double factor, double k) const {
  return GroupRoom::share(factor * k / static_cast<double>(experts_));
}

void CapacityLimit::begin(Context& ctx, const TokenBatch& batch, double k) {
  factor_ = !ctx.training  ? capacity_->options().evaluation
            : ctx.planning ? capacity_->largest()
                           : capacity_->factor(ctx.step);
  k_ = k;
  lost_ = {};
  if (!limits()) return;
  lost_ = ctx.allocate(Shape{batch.tokens()}, DType::i32);
  fill_zero(ctx, lost_);
}

CapacityLimit::Kept CapacityLimit::keep(Context& ctx, const TokenBatch& batch, const Routing& routing) {
  if (!limits()) return {routing.indices, routing.weights, routing.most_per_expert};
  const TokenGroups groups = token_groups(capacity_->options().group, batch);
  // Later updates may have a larger k than the planned update.
  const double k = ctx.planning ? static_cast<double>(routing.indices.dim(1)) : k_;
  const GroupRoom places = room(factor_, k);
  const Tensor indices = ctx.allocate(routing.indices.shape, DType::i32);
  Kept kept{indices, routing.weights, groups.count * places.of(groups.size)};
  {
    ScratchScope scratch(ctx);
    const Tensor demand = scratch.allocate(Shape{groups.count, experts_}, DType::i32);
    limit_assignments(ctx, indices, demand, lost_, routing.indices, routing.weights, groups, places, rule_);
    if (ctx.observe) count_drops(ctx, batch, routing, indices);
    if (ctx.observe && ctx.training && !ctx.planning) {
      TokenGroups on_host = groups;
      on_host.lengths = batch.host_lengths.empty() ? nullptr : batch.host_lengths.data();
      try_candidates(ctx, demand, on_host);
    }
  }
  if (capacity_->options().renormalise) {
    const Tensor weights = ctx.allocate_wide(routing.weights.shape);
    renormalise_after_drop_forward(ctx, weights, routing.weights, routing.indices, indices);
    kept.weights = weights;
  }
  return kept;
}

void CapacityLimit::backward(Context& ctx, Tensor d_weights, const Kept& kept, const Routing& routing) const {
  if (!limits() || !capacity_->options().renormalise) return;
  renormalise_after_drop_backward(ctx, d_weights, routing.weights, routing.indices, kept.indices);
}

void CapacityLimit::count_drops(Context& ctx, const TokenBatch& batch, const Routing& routing, ConstTensor kept) {
  const auto experts = static_cast<size_t>(experts_);
  assignments_.assign(2 * experts, 0.0);
  const std::span<double> wanted = std::span(assignments_).first(experts), left = std::span(assignments_).last(experts);
  {
    ScratchScope scratch(ctx);
    DeviceSums device_copies;  // both sums are queued before the host waits for the first
    if (ctx.device == Device::cuda)
      device_copies = DeviceSums(ctx, assignments_, scratch.allocate(Shape{std::ssize(assignments_)}, DType::f64));
    const SumsScope scope(ctx, device_copies);
    assignment_sums(ctx, as_tensor(wanted), {}, routing.indices, routing.weights, batch.targets);
    assignment_sums(ctx, as_tensor(left), {}, kept, routing.weights, batch.targets);
    if (ctx.planning) return;
    device_copies.collect(ctx);
  }
  double assignments = 0, dropped = 0;
  for (size_t e = 0; e < experts; ++e) {
    assignments += wanted[e];
    dropped += wanted[e] - left[e];
    load_.dropped[e] += wanted[e] - left[e];
  }
  measures_->observe(ctx, capacity_figure_, factor_ * assignments, assignments);
  measures_->observe(ctx, dropped_figure_, dropped, assignments);
}

void CapacityLimit::try_candidates(Context& ctx, ConstTensor demand, const TokenGroups& groups) {
  const std::span<const double> candidates = capacity_->candidates();
  if (candidates.empty()) return;
  const ConstTensor host = on_host(ctx, demand, buffer_);
  const std::span<const int32_t> wanted(host.as<int32_t>(), static_cast<size_t>(host.size()));
  const std::span<double> sums = sums_->of(candidate_range_);
  for (size_t c = 0; c < candidates.size(); ++c) {
    const GroupRoom would_be = room(candidates[c], k_);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const int64_t tokens = groups.counted(static_cast<int64_t>(i) / experts_);
      sums[c] += static_cast<double>(std::max<int64_t>(wanted[i] - would_be.of(tokens), 0));
    }
  }
}

void CapacityLimit::observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const {
  if (!limits()) return;
  const LossByDrops sums = loss_by_drops(ctx, losses, lost_, targets);
  if (ctx.planning) return;
  loss_measures_->add(lost_tokens_figure_, sums.lost_tokens, sums.lost_tokens + sums.kept_tokens);
  loss_measures_->add(lost_loss_figure_, sums.lost_loss, sums.lost_tokens);
  loss_measures_->add(kept_loss_figure_, sums.kept_loss, sums.kept_tokens);
}

void CapacityLimit::after_step(const UpdateFacts& update) {
  const double uniform = std::log(static_cast<double>(std::max<int64_t>(experts_, 2)));
  static const std::string kUncertainty(kRouterUncertainty);  // a step allocates nothing
  const std::optional<size_t> uncertainty = measures_->find(kUncertainty);
  capacity_->after_step({.update = update,
                         .router_entropy = load_.mean_entropy() / uniform,
                         .router_uncertainty = uncertainty ? measures_->value(*uncertainty).value_or(0) : 0,
                         .assignments = load_.assignments(),
                         .dropped_by_candidate = sums_->of(candidate_range_)});
}

Causality CapacityLimit::causality(bool training, int64_t slots) const {
  if (!(training ? trains_bounded() : evaluates_bounded())) return Causality::causal;
  const bool earlier_only = rule_ == DropRule::position && slots == 1 && capacity_->options().group == "sequence";
  return earlier_only ? Causality::causal : causality_of(capacity_->options().group);
}

}  // namespace moe
