#include "core/moe/token_dispatcher.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "comm/traffic.h"
#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "core/tensor/copy.h"

namespace moe {

TokenDispatcher::TokenDispatcher(const ProcessGroups& groups, int64_t experts)
    : group_(groups.expert), experts_(experts) {}

// The host memory for the elements of x: x itself, or a buffer that is copied to the device afterwards.
static int32_t* written_here(Tensor x, std::vector<int32_t>& memory) {
  if (x.device == Device::cpu) return x.as<int32_t>();
  memory.resize(static_cast<size_t>(x.size()));
  return memory.data();
}

// Exchanges how many rows each rank sends to each expert, and derives the order of the received rows.
void TokenDispatcher::exchange_counts(Context& ctx, DispatchPlan& plan, int64_t most_per_expert) {
  const int64_t peers = group_->size();
  const Share local = share_of(experts_, peers, group_->rank());
  plan.local_offsets = ctx.allocate(Shape{local.count + 1}, DType::i32);
  plan.send_rows.assign(static_cast<size_t>(peers), 0);
  plan.receive_rows.assign(static_cast<size_t>(peers), 0);
  if (ctx.planning) {
    plan.num_received = static_cast<int64_t>(std::ceil(static_cast<double>(plan.num_sorted) * ctx.planned_imbalance));
    if (most_per_expert > 0) plan.num_received = std::min(plan.num_received, peers * local.count * most_per_expert);
    plan.by_expert = ctx.allocate(Shape{plan.num_received}, DType::i32);
    plan.by_arrival = ctx.allocate(Shape{plan.num_received}, DType::i32);
    return;
  }
  const int32_t* global = on_host(ctx, plan.global_offsets, buffer_).as<int32_t>();
  std::vector<int64_t>& send = plan.send_rows;
  counts_.clear();
  for (int64_t e = 0; e < experts_; ++e) counts_.push_back(global[e + 1] - global[e]);
  received_counts_.resize(static_cast<size_t>(peers * local.count));
  send_experts_.clear();
  receive_experts_.clear();
  for (int64_t peer = 0; peer < peers; ++peer) {
    const Share theirs = share_of(experts_, peers, peer);
    send[as_index(peer)] = global[theirs.begin + theirs.count] - global[theirs.begin];
    send_experts_.push_back(theirs.count);
    receive_experts_.push_back(local.count);
  }
  group_->all_to_all(as_tensor(received_counts_), receive_experts_, as_tensor(counts_), send_experts_);

  int32_t* offsets = written_here(plan.local_offsets, offsets_);
  offsets[0] = 0;
  for (int64_t e = 0; e < local.count; ++e) {
    offsets[e + 1] = offsets[e];
    for (int64_t peer = 0; peer < peers; ++peer) {
      const int32_t count = received_counts_[as_index(peer * local.count + e)];
      offsets[e + 1] += count;
      plan.receive_rows[as_index(peer)] += count;
    }
  }
  plan.num_received = offsets[local.count];
  plan.by_expert = ctx.allocate(Shape{plan.num_received}, DType::i32);
  plan.by_arrival = ctx.allocate(Shape{plan.num_received}, DType::i32);
  int32_t *by_expert = written_here(plan.by_expert, by_expert_),
          *by_arrival = written_here(plan.by_arrival, by_arrival_);
  counts_.assign(offsets, offsets + local.count);  // now the next free row of each expert
  int32_t arrival = 0;
  for (int64_t peer = 0; peer < peers; ++peer) {
    for (int64_t e = 0; e < local.count; ++e) {
      for (int32_t i = 0; i < received_counts_[as_index(peer * local.count + e)]; ++i, ++arrival) {
        const int32_t row = counts_[as_index(e)]++;
        by_expert[row] = arrival;
        by_arrival[arrival] = row;
      }
    }
  }
  if (ctx.device == Device::cpu) return;
  copy_from_host(ctx, plan.local_offsets, as_tensor(offsets_));
  copy_from_host(ctx, plan.by_expert, as_tensor(by_expert_));
  copy_from_host(ctx, plan.by_arrival, as_tensor(by_arrival_));
}

void TokenDispatcher::place(std::vector<int32_t> places) {
  MOE_CHECK(std::ssize(places) == experts_, "{} places of {} experts", places.size(), experts_);
  places_ = std::move(places);
}

void TokenDispatcher::sort(Context& ctx, const DispatchPlan& plan, ConstTensor indices) {
  if (places_.empty()) return sort_assignments(ctx, plan.position, plan.source, plan.global_offsets, indices);
  ScratchScope scratch(ctx);
  const Tensor placed = scratch.allocate(indices.shape, DType::i32);
  place_assignments(ctx, placed, indices, on_device(ctx, scratch, as_tensor(places_)));
  sort_assignments(ctx, plan.position, plan.source, plan.global_offsets, placed);
}

void TokenDispatcher::prepare(Context& ctx, ConstTensor indices, DispatchPlan& plan, int64_t most_per_expert) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  plan.position = ctx.allocate(Shape{tokens, k}, DType::i32);
  plan.source = ctx.allocate(Shape{tokens * k}, DType::i32);
  plan.global_offsets = ctx.allocate(Shape{experts_ + 1}, DType::i32);
  sort(ctx, plan, indices);
  const int64_t planned = most_per_expert > 0 ? std::min(experts_ * most_per_expert, tokens * k) : tokens * k;
  // On one GPU the number of assignments never leaves the device, so there is no host synchronisation. num_sorted is
  // then the maximum number of rows, and the last rows may be unused.
  const bool unknown = ctx.planning || (alone() && ctx.device == Device::cuda);
  plan.num_sorted = unknown ? planned : on_host(ctx, plan.global_offsets, buffer_).as<int32_t>()[experts_];
  if (alone()) {
    plan.num_received = plan.num_sorted;
    plan.local_offsets = plan.global_offsets;
    return;
  }
  exchange_counts(ctx, plan, most_per_expert);
}

Tensor TokenDispatcher::send(Context& ctx, ConstTensor x, const DispatchPlan& plan) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  const int64_t d = x.dim(1), k = plan.position.dim(1);
  if (alone()) {
    const Tensor rows = ctx.allocate(Shape{plan.num_sorted, d});
    permute_forward(ctx, rows, x, plan.source, k);
    return rows;
  }
  const Tensor received = ctx.allocate(Shape{plan.num_received, d});
  ScratchScope scratch(ctx);
  const Tensor sorted = scratch.allocate(Shape{plan.num_sorted, d});
  permute_forward(ctx, sorted, x, plan.source, k);
  const Tensor arrived = scratch.allocate(Shape{plan.num_received, d});
  if (!ctx.planning) group_->all_to_all(arrived, plan.receive_rows, sorted, plan.send_rows);
  gather_rows(ctx, received, arrived, plan.by_expert);
  return received;
}

Tensor TokenDispatcher::number(Context& ctx, ConstTensor indices, int64_t first_token, const DispatchPlan& plan) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  const Tensor numbers = ctx.allocate(Shape{plan.num_received}, DType::i32);
  if (alone()) {
    number_assignments(ctx, numbers, plan.source, indices, first_token, experts_);
    return numbers;
  }
  ScratchScope scratch(ctx);
  const Tensor sorted = scratch.allocate(Shape{plan.num_sorted}, DType::i32),
               arrived = scratch.allocate(Shape{plan.num_received}, DType::i32);
  number_assignments(ctx, sorted, plan.source, indices, first_token, experts_);
  if (!ctx.planning) group_->all_to_all(arrived, plan.receive_rows, sorted, plan.send_rows);
  gather_rows(ctx, numbers.reshape({plan.num_received, 1}), arrived.reshape({plan.num_received, 1}), plan.by_expert);
  return numbers;
}

void TokenDispatcher::dispatch_backward(Context& ctx, Tensor d_x, ConstTensor d_received, const DispatchPlan& plan) {
  if (alone()) return permute_backward(ctx, d_x, d_received, plan.position);
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  ScratchScope scratch(ctx);
  const int64_t d = d_x.dim(1);
  const Tensor d_arrived = scratch.allocate(Shape{plan.num_received, d});
  gather_rows(ctx, d_arrived, d_received, plan.by_arrival);
  const Tensor d_sorted = scratch.allocate(Shape{plan.num_sorted, d});
  if (!ctx.planning) group_->all_to_all(d_sorted, plan.send_rows, d_arrived, plan.receive_rows);
  permute_backward(ctx, d_x, d_sorted, plan.position);
}

Tensor TokenDispatcher::collect(Context& ctx, Tensor out, const DispatchPlan& plan) {
  if (alone()) return out;
  const TrafficScope traffic(ctx.traffic, TrafficKind::combine);
  const Tensor returned = ctx.allocate(Shape{plan.num_sorted, out.dim(1)}, out.dtype);
  ScratchScope scratch(ctx);
  const Tensor by_arrival = scratch.allocate(Shape{plan.num_received, out.dim(1)}, out.dtype);
  gather_rows(ctx, by_arrival, out, plan.by_arrival);
  if (!ctx.planning) group_->all_to_all(returned, plan.send_rows, by_arrival, plan.receive_rows);
  return returned;
}

Tensor TokenDispatcher::collect_backward(Context& ctx, ScratchScope& scratch, Tensor d_returned,
                                         const DispatchPlan& plan) {
  if (alone()) return d_returned;
  const TrafficScope traffic(ctx.traffic, TrafficKind::combine);
  const Tensor d_out = scratch.allocate(Shape{plan.num_received, d_returned.dim(1)}, d_returned.dtype);
  ScratchScope inner(ctx);
  const Tensor by_arrival = inner.allocate(d_out.shape, d_out.dtype);
  if (!ctx.planning) group_->all_to_all(by_arrival, plan.receive_rows, d_returned, plan.send_rows);
  gather_rows(ctx, d_out, by_arrival, plan.by_expert);
  return d_out;
}

}  // namespace moe
