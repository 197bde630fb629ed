#include "core/optim/gradient_reduction.h"

namespace moe {

GradientReduction::GradientReduction(ParameterStore& parameters, const ProcessGroups& groups, const Options& options)
    : parameters_(parameters),
      groups_(groups),
      options_(options),
      plan_(groups.world->size() > 1 ? plan_reduction(parameters, groups, options.bucket)
                                     : std::vector<GradientBucket>{}) {
  pending_.reserve(plan_.size());
}

void GradientReduction::begin(Context& ctx) {
  if (options_.during_backward && !plan_.empty()) ctx.gradients = this;
}

void GradientReduction::start(Context& ctx, int64_t place) {
  while (pending_.size() < plan_.size() && plan_[pending_.size()].complete_at >= place) {
    const GradientBucket& bucket = plan_[pending_.size()];
    const Tensor gradient = parameters_.buffer(bucket.group).gradient.slice(bucket.begin, bucket.count);
    if (bucket.group == ParameterGroup::expert) parameters_.clear_old_gradients(ctx, bucket.begin, bucket.count);
    pending_.push_back(reduced_over(groups_, bucket.group).start_all_reduce_sum(gradient, bucket.parts, options_.wire));
  }
}

void GradientReduction::finish(Context& ctx) {
  ctx.gradients = nullptr;
  started_early_ = pending_.size();
  if (plan_.empty()) return parameters_.clear_old_gradients(ctx);
  start(ctx, GradientBucket::kAtEnd);
  for (Pending& pending : pending_) pending.wait();
  pending_.clear();
}

}  // namespace moe
