#include "core/optim/gradient_reduction.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "comm/traffic.h"
#include "core/base/integer.h"
#include "core/ops/elementwise.h"
#include "core/optim/gradient_norm.h"

namespace moe {

GradientReduction::GradientReduction(ParameterStore& parameters, const ProcessGroups& groups, const Options& options,
                                     const std::vector<GradientBucket>& sharded)
    : parameters_(parameters),
      groups_(groups),
      options_(options),
      plan_(!sharded.empty()           ? sharded
            : groups.world->size() > 1 ? plan_reduction(parameters, groups, options.bucket)
                                       : std::vector<GradientBucket>{}) {
  pending_.reserve(plan_.size());
}

void GradientReduction::begin(Context& ctx, Sums sums) {
  sums_ = sums;
  if (options_.during_backward && !plan_.empty()) ctx.gradients = this;
}

void GradientReduction::start(Context& ctx, int64_t place) {
  if (options_.complete) options_.complete(ctx, place, std::exchange(completed_, place));
  while (pending_.size() < plan_.size() && plan_[pending_.size()].complete_at >= place) {
    const GradientBucket& bucket = plan_[pending_.size()];
    const Tensor gradient = parameters_.buffer(bucket.group).gradient.slice(bucket.begin, bucket.count);
    if (bucket.group == ParameterGroup::expert) parameters_.clear_old_gradients(ctx, bucket.begin, bucket.count);
    const TrafficScope traffic(ctx.traffic, TrafficLabel{TrafficKind::gradients, bucket.block()});
    Communicator& ranks = reduced_over(groups_, bucket.group);
    pending_.push_back(sums_ == Sums::own_parts ? ranks.start_reduce_scatter_sum(gradient, bucket.parts, options_.wire)
                                                : ranks.start_all_reduce_sum(gradient, bucket.parts, options_.wire));
  }
}

void GradientReduction::finish(Context& ctx) {
  ctx.gradients = nullptr;
  started_early_ = pending_.size();
  if (plan_.empty()) return parameters_.clear_old_gradients(ctx);
  start(ctx, GradientBucket::kAtEnd);
  for (Pending& pending : pending_) pending.wait();
  pending_.clear();
  completed_ = GradientBucket::kBeforeBlocks;
}

double GradientReduction::squares_of_parts(Context& ctx, ParameterGroup group) {
  const Tensor gradient = parameters_.buffer(group).gradient;
  Communicator& ranks = reduced_over(groups_, group);
  const bool in_blocks = ctx.device == Device::cpu;  // a GPU adds in an order of its own, and each sum costs a wait
  squares_.assign(in_blocks ? as_index(divide_up(gradient.size(), kSquaresBlock)) : 1, 0);
  for (const GradientBucket& bucket : plan_) {
    if (bucket.group != group) continue;
    const Share part = bucket.part_of(ranks.rank());
    const Tensor mine = gradient.slice(part.begin, part.count);
    if (in_blocks) {  // parts begin at blocks, so each block is on one rank
      sums_of_squares(ctx, mine,
                      std::span(squares_).subspan(as_index(part.begin / kSquaresBlock),
                                                  as_index(divide_up(part.count, kSquaresBlock))));
    } else if (part.count > 0) {
      squares_[0] += sum_of_squares(ctx, mine);
    }
  }
  ranks.all_reduce_sum(as_tensor(std::span(squares_)));
  return std::accumulate(squares_.begin(), squares_.end(), 0.0);
}

double GradientReduction::norm(Context& ctx) {
  if (sums_ == Sums::everywhere) return gradient_norm(ctx, parameters_, groups_);
  double experts = squares_of_parts(ctx, ParameterGroup::expert);
  groups_.expert->all_reduce_sum(as_tensor(std::span(&experts, 1)));
  return std::sqrt(experts + squares_of_parts(ctx, ParameterGroup::shared));
}

}  // namespace moe
