#include "core/moe/host_dispatcher.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/base/integer.h"
#include "core/ops/competition.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/tensor/copy.h"

namespace moe {

// The places of each rank of this rank's host.
static std::vector<int64_t> counts_inside(const ProcessGroups& groups, std::span<const int64_t> of_ranks) {
  const HostLayout& layout = groups.layout;
  MOE_CHECK(layout.spans_even_hosts(), "dispatch in two stages on {} hosts {}", layout.hosts, layout.uneven);
  std::vector<int64_t> counts;
  for (int64_t rank = 0; rank < groups.expert->size(); ++rank) {
    if (layout.host[as_index(rank)] != layout.host[as_index(groups.expert->rank())]) continue;
    counts.push_back(of_ranks[as_index(rank)]);
  }
  return counts;
}

HostDispatcher::HostDispatcher(const ProcessGroups& groups, int64_t experts, int64_t overlap, bool sums,
                               int64_t replicas)
    : experts_(experts),
      hosts_(groups.layout.hosts),
      sums_(sums),
      layout_(groups.layout),
      tokens_(groups.rail, std::vector<int64_t>(as_index(hosts_), 1), overlap),
      single_(groups.rail, std::vector<int64_t>(as_index(hosts_), 1), overlap),
      inside_(groups.inside, counts_inside(groups, ExpertPlaces::counts(experts, groups.expert->size(), replicas)),
              overlap) {
  // The ranks of a rail are in the order of the group's ranks, its hosts perhaps in another.
  std::vector<int32_t> rail(as_index(hosts_));
  int32_t next = 0;
  for (size_t rank = 0; rank < layout_.host.size(); ++rank) {
    if (layout_.index[rank] != layout_.index[as_index(groups.expert->rank())]) continue;
    rail[as_index(layout_.host[rank])] = next++;
  }
  tokens_.place(rail);
  single_.place(rail);
  const std::vector<int64_t> counts = ExpertPlaces::counts(experts, groups.expert->size(), replicas);
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    // The places of the host's ranks before this one.
    int64_t first = 0;
    for (size_t other = 0; other < rank; ++other) {
      if (layout_.host[other] == layout_.host[rank]) first += counts[other];
    }
    for (int64_t i = 0; i < counts[rank]; ++i) {
      host_of_.push_back(static_cast<int32_t>(layout_.host[rank]));
      place_inside_.push_back(static_cast<int32_t>(first + i));
    }
  }
  zeros_.assign(host_of_.size(), 0);
  if (replicas > 0) place({ExpertMap::contiguous(experts, groups.expert->size()), {}, replicas});
}

ConstTensor HostDispatcher::usable(Context& ctx, ScratchScope& scratch, std::vector<int32_t>& values) {
  return on_device(ctx, scratch, as_tensor(std::span<int32_t>(values)));
}

void HostDispatcher::send_slots(Context& ctx, const HostPlan& plan, Tensor arrived, ConstTensor values,
                                ConstTensor placed) {
  ScratchScope scratch(ctx);
  const Tensor rows = scratch.allocate(Shape{plan.tokens.num_sorted, placed.dim(1)}, DType::i32);
  select_on_host(ctx, rows, values, plan.tokens.source, placed, usable(ctx, scratch, host_of_), hosts_);
  tokens_.send(ctx, plan.tokens, rows, arrived);
}

void HostDispatcher::prepare(Context& ctx, ConstTensor indices, ConstTensor weights,
                             const TokenDispatcher::Bounds& bounds, HostPlan& plan, DispatchPlan& inside,
                             ConstTensor* numbers) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  const int64_t tokens = indices.dim(0), k = indices.dim(1), most_per_expert = bounds.per_expert;
  ScratchScope scratch(ctx);
  const ConstTensor placed = places_.of(ctx, scratch, indices, bounds.only_homes);
  {
    ScratchScope inner(ctx);
    const Tensor chosen = inner.allocate(Shape{tokens, hosts_}, DType::i32);
    choose_hosts(ctx, chosen, placed, usable(ctx, inner, host_of_));
    tokens_.prepare(ctx, chosen, plan.tokens, {.per_expert = tokens, .rows = tokens * std::min(k, hosts_)});
  }
  // At most so many assignments arrive. With rows spread evenly these are as many as this rank's tokens have.
  int64_t rows = tokens * k;
  if (most_per_expert > 0) rows = std::min(rows, experts_ * most_per_expert);
  rows = static_cast<int64_t>(
      std::ceil(static_cast<double>(rows) * std::min(ctx.planned_imbalance, static_cast<double>(hosts_))));

  const Tensor values = scratch.allocate(indices.shape, DType::i32),
               arrived = scratch.allocate(Shape{plan.tokens.num_received, k}, DType::i32);
  place_assignments(ctx, values, placed, usable(ctx, scratch, place_inside_));
  send_slots(ctx, plan, arrived, values, placed);
  inside_.prepare(ctx, arrived, inside, {.per_expert = most_per_expert * hosts_, .rows = rows});
  if (numbers) {
    const Tensor slots = scratch.allocate(Shape{1, tokens * k}, DType::i32),
                 of_arrived = scratch.allocate(arrived.shape, DType::i32);
    choose_all(ctx, slots);  // 0, 1, 2, ...
    number_assignments(ctx, values.reshape({tokens * k}), slots.reshape({tokens * k}), indices, ctx.first_token,
                       experts_);
    send_slots(ctx, plan, of_arrived, values, placed);
    *numbers = inside_.spread(ctx, of_arrived, inside);
  }
  if (!sums_) return prepare_single(ctx, placed, arrived, rows, plan, inside);
  plan.weights = ctx.allocate_wide(Shape{plan.tokens.num_received, k});
  const Tensor sent = scratch.allocate_wide(Shape{plan.tokens.num_sorted, k});
  permute_forward(ctx, sent, weights, plan.tokens.source, hosts_);
  tokens_.send(ctx, plan.tokens, sent, plan.weights);
}

// Single rows travel in the order of arrived slots, which both ends have: by host or rank, by token, by slot.
void HostDispatcher::prepare_single(Context& ctx, ConstTensor placed, ConstTensor arrived, int64_t rows, HostPlan& plan,
                                    const DispatchPlan& inside) {
  ScratchScope scratch(ctx);
  const Tensor hosts = scratch.allocate(placed.shape, DType::i32);
  place_assignments(ctx, hosts, placed, usable(ctx, scratch, host_of_));
  const int64_t peers = static_cast<int64_t>(std::min(ctx.planned_imbalance, static_cast<double>(hosts_)));
  single_.prepare(ctx, hosts, plan.single, {.rows = rows / peers});
  const int64_t slots = arrived.size(), count = inside.num_sorted;
  if (ctx.planning) plan.single.num_received = count;
  MOE_CHECK(count == plan.single.num_received, "{} assignments arrived, {} rows return", count,
            plan.single.num_received);
  plan.to_single = ctx.allocate(Shape{count, 1}, DType::i32);
  plan.to_inside = ctx.allocate(Shape{count, 1}, DType::i32);
  const Tensor filled = scratch.allocate(arrived.shape, DType::i32),
               position = scratch.allocate(arrived.shape, DType::i32),
               source = scratch.allocate(Shape{slots}, DType::i32), offsets = scratch.allocate(Shape{2}, DType::i32);
  place_assignments(ctx, filled, arrived, usable(ctx, scratch, zeros_));
  sort_assignments(ctx, position, source, offsets, filled);
  gather_rows(ctx, plan.to_single, inside.position.reshape({slots, 1}), source);
  gather_rows(ctx, plan.to_inside, position.reshape({slots, 1}), inside.source);
}

// x in another type: x itself, or a copy.
static ConstTensor as_type(Context& ctx, ScratchScope& scratch, ConstTensor x, DType wire) {
  if (x.dtype == wire) return x;
  const Tensor other = scratch.allocate(x.shape, wire);
  convert(ctx, other, x);
  return other;
}

// Memory for what arrives as `wire` and becomes x: x itself, or other memory that is converted afterwards.
static Tensor arriving(ScratchScope& scratch, Tensor x, DType wire) {
  return x.dtype == wire ? x : scratch.allocate(x.shape, wire);
}

void HostDispatcher::send_tokens(Context& ctx, const HostPlan& plan, TrafficKind kind, Tensor arrived, ConstTensor x,
                                 FunctionRef<void()> meanwhile) {
  const TrafficScope traffic(ctx.traffic, kind);
  ScratchScope scratch(ctx);
  const DType wire = travelling_type(ctx);
  const Tensor sent = scratch.allocate(Shape{plan.tokens.num_sorted, x.dim(1)}, wire),
               received = arriving(scratch, arrived, wire);
  permute_forward(ctx, sent, x, plan.tokens.source, hosts_);
  tokens_.send(ctx, plan.tokens, sent, received, meanwhile);
  if (received.dtype != arrived.dtype) convert(ctx, arrived, received);
}

void HostDispatcher::return_sums(Context& ctx, const HostPlan& plan, TrafficKind kind, Tensor y, ConstTensor rows,
                                 DType wire) {
  const TrafficScope traffic(ctx.traffic, kind);
  ScratchScope scratch(ctx);
  const ConstTensor sent = as_type(ctx, scratch, rows, wire);
  const Tensor returned = scratch.allocate(Shape{plan.tokens.num_sorted, y.dim(1)}, wire);
  tokens_.send_back(ctx, plan.tokens, sent, returned);
  permute_backward(ctx, y, as_type(ctx, scratch, returned, y.dtype), plan.tokens.position);
}

void HostDispatcher::return_single(Context& ctx, const HostPlan& plan, Tensor returned, ConstTensor outputs,
                                   DType wire) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::combine);
  ScratchScope scratch(ctx);
  const Tensor back = scratch.allocate(outputs.shape, wire), received = arriving(scratch, returned, wire);
  gather_rows(ctx, back, outputs, plan.to_single);
  single_.send_back(ctx, plan.single, back, received);
  if (received.dtype != returned.dtype) convert(ctx, returned, received);
}

void HostDispatcher::send_single(Context& ctx, const HostPlan& plan, Tensor d_outputs, ConstTensor d_returned,
                                 DType wire, FunctionRef<void()> meanwhile) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::combine);
  ScratchScope scratch(ctx);
  const ConstTensor sent = as_type(ctx, scratch, d_returned, wire);
  const Tensor arrived = scratch.allocate(d_outputs.shape, wire);
  single_.send(ctx, plan.single, sent, arrived, meanwhile);
  gather_rows(ctx, d_outputs, arrived, plan.to_inside);
}

}  // namespace moe
