#include "core/optim/optimizer.h"

#include <algorithm>
#include <cstring>

#include "comm/traffic.h"
#include "core/ops/elementwise.h"
#include "core/ops/packed_weights.h"
#include "core/tensor/compute_parts.h"
#include "core/tensor/device.h"

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
    : parameters_(setup.parameters),
      rank_groups_(setup.groups ? *setup.groups : ProcessGroups::single()),
      weight_decay_(options.weight_decay.make(setup.run)),
      kinds_(std::move(kinds)) {
  MOE_CHECK(kinds_.size() <= kMostStates, "{} kinds of state", kinds_.size());
  Context& ctx = setup.ctx;
  if (options.shard && rank_groups_.world->size() > 1) {
    plan_ = plan_reduction(parameters_, rank_groups_, setup.bucket, kSquaresBlock);
    gathering_.reserve(plan_.size());
  }
  divide();
  const DType stored = parameters_.buffer(ParameterGroup::shared).value.dtype;
  const bool rounds = wide(stored) != stored;
  size_t elements = 0;
  for (const ParameterGroup group : kTrainedGroups) elements += static_cast<size_t>(groups_[as_index(group)].held);
  const auto type_of = [&](const OptimizerStateKind& kind) {
    return kind.narrow && stored != DType::f64 ? DType::bf16 : wide(stored);
  };
  size_t element_bytes = rounds ? size_of(wide(stored)) : 0;
  for (const OptimizerStateKind& kind : kinds_) element_bytes += size_of(type_of(kind));
  // Every tensor begins at a multiple of 64 bytes, and an arena is never empty.
  const size_t padding = 64 * ((kinds_.size() + 1) * kTrainedGroups.size() + 1);
  arena_ = std::make_unique<Arena>(
      ctx.planning ? Arena::planning("optimizer", ctx.device)
                   : Arena("optimizer", ctx.device, element_bytes * elements + padding, ctx.managed));
  for (const ParameterGroup name : kTrainedGroups) {
    const Tensor values = parameters_.buffer(name).value;
    Group& group = groups_[as_index(name)];
    for (const OptimizerStateKind& kind : kinds_) {
      group.states.push_back(arena_->allocate(Shape{group.held}, type_of(kind)));
      fill_zero(ctx, group.states.back());
    }
    if (rounds) {
      group.master = arena_->allocate(Shape{group.held}, wide(stored));
      for (const Part& part : group.parts) {
        convert(ctx, group.master.slice(part.at, part.count), values.slice(part.begin, part.count));
      }
    }
    group.ranges = parameter_ranges(parameters_, name, options.classes);
  }
}

// Finds the parts that this rank updates: all, or one of each bucket.
void Optimizer::divide() {
  for (const ParameterGroup name : kTrainedGroups) {
    Group& group = groups_[as_index(name)];
    if (!is_sharded()) {
      group.held = parameters_.buffer(name).value.size();
      group.parts = {{0, group.held, 0}};
      continue;
    }
    const int rank = reduced_over(rank_groups_, name).rank();
    for (const GradientBucket& bucket : plan_) {
      if (bucket.group != name) continue;
      const Share part = bucket.part_of(rank);
      group.parts.push_back({part.begin, part.count, group.held});
      group.held += part.count;
    }
  }
}

void Optimizer::update_part(Context& ctx, ParameterGroup name, const Part& part, const OptimizerUpdate& update,
                            double weight_decay) const {
  const ComputeScope compute(ctx, ComputePart::update, ComputeDirection::forward, part.count);
  const ParameterBuffer& buffer = parameters_.buffer(name);
  const Group& group = groups_[as_index(name)];
  for (const ParameterRange& range : group.ranges) {
    const int64_t begin = std::max(range.begin, part.begin),
                  end = std::min(range.begin + range.count, part.begin + part.count);
    if (begin >= end) continue;
    const auto held = [&](const Tensor& whole) { return whole.slice(part.at + begin - part.begin, end - begin); };
    // An array, since a step allocates nothing.
    std::array<Tensor, kMostStates> states;
    std::transform(group.states.begin(), group.states.end(), states.begin(), held);
    this->update(ctx, {.weight = buffer.value.slice(begin, end - begin),
                       .master = group.master ? held(group.master) : Tensor{},
                       .gradient = buffer.gradient.slice(begin, end - begin),
                       .states = std::span(states).first(group.states.size()),
                       .learning_rate = range.learning_rate * update.learning_rate,
                       .weight_decay = range.weight_decay * weight_decay,
                       .gradient_scale = update.gradient_scale,
                       .update = update.number + 1,
                       // The experts' gradients have one writer, which overwrites what is marked as old: clearing would
                       // cost a pass.
                       .clear_gradient = name != ParameterGroup::expert});
  }
}

// Of parts that other ranks update: they are undefined since the reduction.
void Optimizer::clear_other_gradients(Context& ctx, ParameterGroup name) const {
  const Tensor gradient = parameters_.buffer(name).gradient;
  size_t next = 0;
  const std::vector<Part>& parts = groups_[as_index(name)].parts;
  for (const GradientBucket& bucket : plan_) {
    if (bucket.group != name) continue;
    const Part& mine = parts[next++];
    const int64_t end = mine.begin + mine.count;
    fill_zero(ctx, gradient.slice(bucket.begin, mine.begin - bucket.begin));
    fill_zero(ctx, gradient.slice(end, bucket.begin + bucket.count - end));
  }
}

void Optimizer::step(Context& ctx, const OptimizerUpdate& update) {
  PackedWeights::expect_no_scope(ctx);
  const double weight_decay = weight_decay_.at(static_cast<uint64_t>(update.number));
  if (!is_sharded()) {
    for (const ParameterGroup name : kTrainedGroups) {
      for (const Part& part : groups_[as_index(name)].parts) update_part(ctx, name, part, update, weight_decay);
    }
  } else {
    // The new values of a bucket travel while the next one is updated.
    std::array<size_t, kTrainedGroups.size()> next{};
    for (const GradientBucket& bucket : plan_) {
      const Part& part = groups_[as_index(bucket.group)].parts[next[as_index(bucket.group)]++];
      update_part(ctx, bucket.group, part, update, weight_decay);
      if (ctx.planning) continue;
      const TrafficScope traffic(ctx.traffic, TrafficLabel{TrafficKind::weights, bucket.block()});
      gathering_.push_back(
          reduced_over(rank_groups_, bucket.group)
              .start_all_gather(parameters_.buffer(bucket.group).value.slice(bucket.begin, bucket.count),
                                bucket.parts));
    }
    for (Pending& pending : gathering_) pending.wait();
    gathering_.clear();
    clear_other_gradients(ctx, ParameterGroup::shared);
  }
  parameters_.mark_gradients_old(ParameterGroup::expert);
}

Tensor Optimizer::buffer_for(const Tensor& like, Shape shape) const {
  whole_.resize(static_cast<size_t>(shape.size()) * size_of(like.dtype));
  return {whole_.data(), shape, like.dtype, Device::cpu};
}

static void copy_elements(const Tensor& to, const Tensor& from) {
  if (from.bytes() == 0) return;
  if (to.device == Device::cuda) {
    cuda::copy_now(to.data, from.data, from.bytes(), cuda::Direction::to_device);
  } else if (from.device == Device::cuda) {
    cuda::copy_now(to.data, from.data, from.bytes(), cuda::Direction::to_host);
  } else {
    std::memcpy(to.data, from.data, from.bytes());
  }
}

Tensor Optimizer::collect(ParameterGroup group, size_t kind, const NamedTensor& value) const {
  const Tensor state = held(group, kind), whole = buffer_for(state, value.tensor.shape),
               flat = whole.reshape(Shape{whole.size()});
  Communicator& ranks = reduced_over(rank_groups_, group);
  const int64_t begin = element_offset(value.tensor, parameters_.buffer(group).value), end = begin + whole.size();
  copy_part(group, state, begin, whole, false);
  for (const GradientBucket& bucket : plan_) {
    for (int rank = 0; bucket.group == group && rank < ranks.size(); ++rank) {
      const Share part = bucket.part_of(rank);
      const int64_t from = std::max(part.begin, begin), to = std::min(part.begin + part.count, end);
      if (from < to) ranks.broadcast(flat.slice(from - begin, to - from), rank);
    }
  }
  return whole;
}

void Optimizer::store(ParameterGroup group, size_t kind, const NamedTensor& value, const Tensor& whole) const {
  const int64_t begin = element_offset(value.tensor, parameters_.buffer(group).value);
  copy_part(group, held(group, kind), begin, whole, true);
}

void Optimizer::copy_part(ParameterGroup group, const Tensor& held, int64_t begin, const Tensor& whole,
                          bool to_state) const {
  const Tensor flat = whole.reshape(Shape{whole.size()});
  for (const Part& part : groups_[as_index(group)].parts) {
    const int64_t from = std::max(part.begin, begin), to = std::min(part.begin + part.count, begin + whole.size());
    if (from >= to) continue;
    const Tensor mine = held.slice(part.at + from - part.begin, to - from), piece = flat.slice(from - begin, to - from);
    copy_elements(to_state ? mine : piece, to_state ? piece : mine);
  }
}

}  // namespace moe
