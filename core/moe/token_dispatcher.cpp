#include "core/moe/token_dispatcher.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "core/tensor/copy.h"

namespace moe {

TokenDispatcher::TokenDispatcher(const ProcessGroups& groups, int64_t experts, int64_t overlap, int64_t replicas)
    : TokenDispatcher(groups.expert, ExpertPlaces::counts(experts, groups.expert->size(), replicas), overlap) {
  experts_ = experts;
  if (replicas > 0) place({ExpertMap::contiguous(experts, groups.expert->size()), {}, replicas});
}

TokenDispatcher::TokenDispatcher(std::shared_ptr<Communicator> group, std::vector<int64_t> counts, int64_t overlap)
    : group_(std::move(group)),
      experts_(std::accumulate(counts.begin(), counts.end(), int64_t{0})),
      overlap_(overlap),
      counts_(std::move(counts)),
      num_places_(experts_) {
  MOE_CHECK(overlap >= 1 && overlap <= kMostParts, "{} parts", overlap);
  if (alone()) return;
  num_parts_ = std::clamp<int64_t>(*std::min_element(counts_.begin(), counts_.end()), 1, overlap);
  order_.resize(as_index(num_places_));
  int32_t next = 0;
  for (int64_t i = 0; i < num_parts_; ++i) {
    int64_t first = 0;  // the rank's first place
    for (const int64_t count : counts_) {
      const Share share = share_of(count, num_parts_, i);
      std::iota(order_.begin() + first + share.begin, order_.begin() + first + share.begin + share.count, next);
      next += static_cast<int32_t>(share.count);
      first += count;
    }
  }
  if (num_parts_ > 1) places_ = order_;
}

void TokenDispatcher::place(ExpertPlaces places) {
  MOE_CHECK(places.experts() == experts_, "{} places of {} experts", places.experts(), experts_);
  places_ = std::move(places);
  if (!alone()) places_.renumber(order_);
}

DispatchPart TokenDispatcher::part(const DispatchPlan& plan, int64_t index) const {
  if (alone()) {
    return {.experts = {0, num_places_},
            .sorted = {0, plan.num_sorted},
            .received = {0, plan.num_received},
            .offsets = plan.local_offsets,
            .by_expert = {},
            .by_arrival = {},
            .send_rows = {},
            .receive_rows = {}};
  }
  const Share experts = share_of(local_count(), num_parts_, index), received = plan.received_parts[as_index(index)];
  const auto peers = static_cast<size_t>(group_->size());
  const auto rows = [&](const std::vector<int64_t>& of_all) {
    return std::span(of_all).subspan(as_index(index) * peers, peers);
  };
  return {.experts = experts,
          .sorted = plan.sorted_parts[as_index(index)],
          .received = received,
          .offsets = plan.part_offsets.slice(experts.begin + index, experts.count + 1),
          .by_expert = plan.by_expert.slice(received.begin, received.count),
          .by_arrival = plan.by_arrival.slice(received.begin, received.count),
          .send_rows = rows(plan.send_rows),
          .receive_rows = rows(plan.receive_rows)};
}

// The host memory for the elements of x: x itself, or a buffer that is copied to the device afterwards.
static int32_t* written_here(Tensor x, std::vector<int32_t>& memory) {
  if (x.device == Device::cpu) return x.as<int32_t>();
  memory.resize(static_cast<size_t>(x.size()));
  return memory.data();
}

// With rows spread evenly, a part has its experts' share of them. In the worst case one part has all.
void TokenDispatcher::plan_parts(Context& ctx, DispatchPlan& plan, int64_t most_per_expert) const {
  const int64_t peers = group_->size(), local = local_count();
  const double imbalance = std::min(ctx.planned_imbalance, static_cast<double>(peers));
  plan.num_received = static_cast<int64_t>(std::ceil(static_cast<double>(plan.num_sorted) * imbalance));
  if (most_per_expert > 0) plan.num_received = std::min(plan.num_received, peers * local * most_per_expert);
  for (int64_t i = 0; i < num_parts_; ++i) {
    plan.sorted_parts[as_index(i)] = share_of(plan.num_sorted, num_parts_, i);
    const Share experts = share_of(local, num_parts_, i);
    const auto rows_before = [&](int64_t expert) { return plan.num_received * expert / local; };
    const int64_t begin = rows_before(experts.begin), end = rows_before(experts.begin + experts.count);
    plan.received_parts[as_index(i)] = ctx.planned_imbalance == 1 ? Share{begin, end - begin}
                                       : i == 0                   ? Share{0, plan.num_received}
                                                                  : Share{plan.num_received, 0};
  }
}

// Exchanges how many rows each rank sends to each expert -> received_counts_ and the numbers of rows.
void TokenDispatcher::exchange_counts(Context& ctx, DispatchPlan& plan) {
  const int64_t peers = group_->size(), local = local_count();
  const int32_t* global = on_host(ctx, plan.global_offsets, buffer_).as<int32_t>();
  sent_counts_.clear();
  for (const int32_t place : order_) sent_counts_.push_back(global[place + 1] - global[place]);
  received_counts_.resize(static_cast<size_t>(peers * local));
  plan.receive_rows.assign(as_index(peers), local);  // of counts
  group_->all_to_all(as_tensor(received_counts_), plan.receive_rows, as_tensor(sent_counts_), counts_);

  plan.receive_rows.assign(as_index(num_parts_ * peers), 0);
  int64_t place = 0;
  for (int64_t i = 0; i < num_parts_; ++i) {
    const int64_t begin = global[place];
    const Share share = share_of(local, num_parts_, i);
    for (int64_t peer = 0; peer < peers; ++peer) {
      const int64_t first = place;
      place += share_of(counts_[as_index(peer)], num_parts_, i).count;
      plan.send_rows[as_index(i * peers + peer)] = global[place] - global[first];
      const int32_t* const rows = received_counts_.data() + peer * local + share.begin;
      plan.receive_rows[as_index(i * peers + peer)] = std::accumulate(rows, rows + share.count, int64_t{0});
    }
    plan.sorted_parts[as_index(i)] = {begin, global[place] - begin};
  }
}

// From received_counts_: the offsets, and the orders of the received rows.
void TokenDispatcher::order_received(Context& ctx, DispatchPlan& plan) {
  const int64_t peers = group_->size(), local = local_count();
  int32_t *offsets = written_here(plan.local_offsets, offsets_),
          *part_offsets = written_here(plan.part_offsets, part_offsets_);
  offsets[0] = 0;
  for (int64_t e = 0; e < local; ++e) {
    offsets[e + 1] = offsets[e];
    for (int64_t peer = 0; peer < peers; ++peer) offsets[e + 1] += received_counts_[as_index(peer * local + e)];
  }
  plan.num_received = offsets[local];
  plan.by_expert = ctx.allocate(Shape{plan.num_received}, DType::i32);
  plan.by_arrival = ctx.allocate(Shape{plan.num_received}, DType::i32);
  int32_t *by_expert = written_here(plan.by_expert, by_expert_),
          *by_arrival = written_here(plan.by_arrival, by_arrival_);
  next_.assign(offsets, offsets + local);
  for (int64_t i = 0; i < num_parts_; ++i) {
    const Share share = share_of(local, num_parts_, i);
    const int32_t begin = offsets[share.begin];
    plan.received_parts[as_index(i)] = {begin, offsets[share.begin + share.count] - begin};
    for (int64_t e = 0; e <= share.count; ++e) part_offsets[share.begin + i + e] = offsets[share.begin + e] - begin;
    int32_t arrival = 0;
    for (int64_t peer = 0; peer < peers; ++peer) {
      for (int64_t e = share.begin; e < share.begin + share.count; ++e) {
        for (int32_t n = 0; n < received_counts_[as_index(peer * local + e)]; ++n, ++arrival) {
          const int32_t row = next_[as_index(e)]++ - begin;
          by_expert[begin + row] = arrival;
          by_arrival[begin + arrival] = row;
        }
      }
    }
  }
  if (ctx.device == Device::cpu) return;
  copy_from_host(ctx, plan.local_offsets, as_tensor(offsets_));
  copy_from_host(ctx, plan.part_offsets, as_tensor(part_offsets_));
  copy_from_host(ctx, plan.by_expert, as_tensor(by_expert_));
  copy_from_host(ctx, plan.by_arrival, as_tensor(by_arrival_));
}

void TokenDispatcher::sort(Context& ctx, const DispatchPlan& plan, ConstTensor indices, bool only_homes) {
  ScratchScope scratch(ctx);
  const ConstTensor placed = places_.of(ctx, scratch, indices, only_homes);
  sort_assignments(ctx, plan.position, plan.source, plan.global_offsets, placed);
}

void TokenDispatcher::prepare(Context& ctx, ConstTensor indices, DispatchPlan& plan, const Bounds& bounds) {
  const TrafficScope traffic(ctx.traffic, TrafficKind::dispatch);
  const int64_t tokens = indices.dim(0), k = indices.dim(1);
  plan.position = ctx.allocate(Shape{tokens, k}, DType::i32);
  plan.source = ctx.allocate(Shape{tokens * k}, DType::i32);
  plan.global_offsets = ctx.allocate(Shape{num_places_ + 1}, DType::i32);
  sort(ctx, plan, indices, bounds.only_homes);
  int64_t planned = tokens * k;
  if (bounds.per_expert > 0) planned = std::min(planned, experts_ * bounds.per_expert);
  if (bounds.rows > 0) planned = std::min(planned, bounds.rows);
  // On one GPU the number of assignments never leaves the device, so there is no host synchronisation. num_sorted is
  // then the maximum number of rows, and the last rows may be unused. Where most slots are empty that is too many.
  const bool unknown = ctx.planning || (alone() && ctx.device == Device::cuda && bounds.rows == 0);
  plan.num_sorted = unknown ? planned : on_host(ctx, plan.global_offsets, buffer_).as<int32_t>()[num_places_];
  if (alone()) {
    plan.num_received = plan.num_sorted;
    plan.local_offsets = plan.global_offsets;
    return;
  }
  plan.local_offsets = ctx.allocate(Shape{local_count() + 1}, DType::i32);
  plan.part_offsets =
      num_parts_ == 1 ? plan.local_offsets : ctx.allocate(Shape{local_count() + num_parts_}, DType::i32);
  plan.sorted_parts.resize(as_index(num_parts_));
  plan.received_parts.resize(as_index(num_parts_));
  plan.send_rows.assign(as_index(num_parts_ * group_->size()), 0);
  if (!ctx.planning) {
    exchange_counts(ctx, plan);
    return order_received(ctx, plan);
  }
  plan.receive_rows = plan.send_rows;
  plan_parts(ctx, plan, bounds.per_expert);
  plan.by_expert = ctx.allocate(Shape{plan.num_received}, DType::i32);
  plan.by_arrival = ctx.allocate(Shape{plan.num_received}, DType::i32);
}

static Tensor rows_of(Tensor x, Share rows) {
  return x.slice(rows.begin, rows.count);
}
static ConstTensor rows_of(ConstTensor x, Share rows) {
  return x.slice(rows.begin, rows.count);
}

Pending TokenDispatcher::start(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                               std::span<const int64_t> send_rows) {
  if (overlap_ > 1) return group_->start_all_to_all(recv, recv_rows, send, send_rows);
  group_->all_to_all(recv, recv_rows, send, send_rows);
  return {};
}

void TokenDispatcher::exchange(Context& ctx, const DispatchPlan& plan, TrafficKind kind, ConstTensor sent,
                               Tensor returned, Compute compute, FunctionRef<void()> meanwhile) {
  if (alone()) return compute(part(plan, 0), sent, returned);
  ScratchScope scratch(ctx);
  const Tensor arrived = scratch.allocate(Shape{plan.num_received, sent.dim(1)}, sent.dtype);
  Tensor back;
  if (returned) {
    const bool alike = returned.dim(1) == sent.dim(1) && returned.dtype == sent.dtype;
    back = alike ? arrived : scratch.allocate(Shape{plan.num_received, returned.dim(1)}, returned.dtype);
  }
  std::array<Pending, as_index(kMostParts)> coming, going;
  // Only one part is sent ahead: more would share the link with it, and all would arrive late.
  const auto send = [&](int64_t i) {
    if (ctx.planning || i >= num_parts_) return;
    const DispatchPart p = part(plan, i);
    const TrafficScope traffic(ctx.traffic, kind);
    coming[as_index(i)] = start(rows_of(arrived, p.received), p.receive_rows, rows_of(sent, p.sorted), p.send_rows);
  };
  send(0);
  if (meanwhile) meanwhile();
  for (int64_t i = 0; i < num_parts_; ++i) {
    coming[as_index(i)].wait();
    send(i + 1);
    const DispatchPart p = part(plan, i);
    const Tensor results = returned ? rows_of(back, p.received) : Tensor{};
    compute(p, rows_of(ConstTensor(arrived), p.received), results);
    if (ctx.planning || !returned) continue;
    const TrafficScope traffic(ctx.traffic,
                               kind == TrafficKind::dispatch ? TrafficKind::combine : TrafficKind::dispatch);
    going[as_index(i)] = start(rows_of(returned, p.sorted), p.send_rows, results, p.receive_rows);
  }
  for (int64_t i = 0; i < num_parts_; ++i) going[as_index(i)].wait();
}

void TokenDispatcher::send(const Context& ctx, const DispatchPlan& plan, ConstTensor sent, Tensor arrived,
                           FunctionRef<void()> meanwhile) {
  MOE_CHECK(!alone() && num_parts_ == 1, "rows for {} parts are sent as one", num_parts_);
  Pending pending;
  if (!ctx.planning) pending = start(arrived, plan.receive_rows, sent, plan.send_rows);
  if (meanwhile && overlap_ > 1) meanwhile();
  pending.wait();
}

void TokenDispatcher::send_back(const Context& ctx, const DispatchPlan& plan, ConstTensor back, Tensor returned) {
  MOE_CHECK(!alone() && num_parts_ == 1, "rows of {} parts are sent back as one", num_parts_);
  if (!ctx.planning) group_->all_to_all(returned, plan.send_rows, back, plan.receive_rows);
}

// sorted (num_sorted) i32 -> the values of the received rows (num_received)
Tensor TokenDispatcher::to_experts(Context& ctx, ConstTensor sorted, const DispatchPlan& plan) {
  const Tensor received = ctx.allocate(Shape{plan.num_received}, DType::i32),
               by_expert = received.reshape({plan.num_received, 1});
  exchange(ctx, plan, TrafficKind::dispatch, ConstTensor(sorted.reshape({plan.num_sorted, 1})), {},
           [&](const DispatchPart& part, ConstTensor arrived, Tensor) {
             gather_rows(ctx, rows_of(by_expert, part.received), arrived, part.by_expert);
           });
  return received;
}

Tensor TokenDispatcher::number(Context& ctx, ConstTensor indices, int64_t first_token, const DispatchPlan& plan) {
  ScratchScope scratch(ctx);
  const Tensor sorted =
      alone() ? ctx.allocate(Shape{plan.num_sorted}, DType::i32) : scratch.allocate(Shape{plan.num_sorted}, DType::i32);
  number_assignments(ctx, sorted, plan.source, indices, first_token, experts_);
  return alone() ? sorted : to_experts(ctx, sorted, plan);
}

Tensor TokenDispatcher::spread(Context& ctx, ConstTensor values, const DispatchPlan& plan) {
  ScratchScope scratch(ctx);
  const Tensor sorted =
      alone() ? ctx.allocate(Shape{plan.num_sorted}, DType::i32) : scratch.allocate(Shape{plan.num_sorted}, DType::i32);
  gather_rows(ctx, sorted.reshape({plan.num_sorted, 1}), ConstTensor(values.reshape({values.size(), 1})), plan.source);
  return alone() ? sorted : to_experts(ctx, sorted, plan);
}

}  // namespace moe
