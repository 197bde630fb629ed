// Dispatch: sends token rows to the ranks and experts that were chosen for them, and the results back. It is dropless:
// every assignment is sent, there is no padding, and a rank without rows for another rank sends it nothing.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "comm/process_groups.h"
#include "comm/traffic.h"
#include "core/base/function_ref.h"
#include "core/moe/expert_places.h"
#include "core/tensor/context.h"

namespace moe {

// The destinations of one micro-batch's rows. `sorted` rows are this rank's assignments by the place of their expert:
// by part (TokenDispatcher::num_parts), then by rank, then by place in the rank; with one part and without a map of the
// experts that is by global expert. `received` rows are those of all ranks for the local places, by place, then by
// rank, then by token. A place holds an expert, a copy of one, or, if there are fewer copies than room, nothing.
struct DispatchPlan {
  Tensor position;        // (tokens, k) i32: sorted row of each slot, -1 for none
  Tensor source;          // (tokens * k) i32: slot of each sorted row
  Tensor global_offsets;  // (places + 1) i32 over sorted rows
  int64_t num_sorted = 0;

  int64_t num_received = 0;
  Tensor local_offsets;  // (local places + 1) i32 over received rows
  // With more than one expert-parallel rank: the rows of each part, rows per part and peer, each part's offsets, and
  // the two orders of received rows, which count from the part's first row.
  std::vector<Share> sorted_parts, received_parts;
  std::vector<int64_t> send_rows, receive_rows;  // (parts, peers)
  Tensor part_offsets;                           // (local places + parts) i32, or local_offsets of the only part
  Tensor by_expert;                              // (received) i32: arrival index of each row by place
  Tensor by_arrival;                             // (received) i32: the inverse
};

// Rows that travel together: those for the same part of every rank's experts.
struct DispatchPart {
  Share experts;        // of this rank's places
  Share sorted;         // of the plan's sorted rows
  Share received;       // of the plan's received rows
  ConstTensor offsets;  // (experts + 1) i32 over the part's received rows
  // The orders of the received rows, within the part. On one rank there are none: rows arrive by expert.
  ConstTensor by_expert, by_arrival;
  std::span<const int64_t> send_rows, receive_rows;  // per peer
};

// The type in which rows of activations travel between ranks. Products in bf16 on the CPU round their operands, so
// that nothing is lost when the rows that an expert gets are rounded before.
inline DType travelling_type(const Context& ctx) {
  const bool rounds = ctx.device == Device::cpu && ctx.products == Products::bf16 && ctx.dtype == DType::f32;
  return rounds ? DType::bf16 : ctx.dtype;
}

class TokenDispatcher {
 public:
  static constexpr int64_t kMostParts = 16;

  // `overlap`: the number of parts in which rows shall travel, at most kMostParts. With 1, an exchange is complete
  // before anything is computed. There are at most as many parts as any rank has places. `replicas`: the copies that
  // each rank has room for.
  TokenDispatcher(const ProcessGroups& groups, int64_t experts, int64_t overlap = 1, int64_t replicas = 0);
  // `counts`: the number of places of each rank of `group`.
  TokenDispatcher(std::shared_ptr<Communicator> group, std::vector<int64_t> counts, int64_t overlap);

  // From now on the experts are at these places.
  void place(ExpertPlaces places);

  // x (tokens, d), indices (tokens, k) i32 -> the plan of their rows.
  // `bounds`: memory is planned for them.
  struct Bounds {
    int64_t per_expert = 0;   // upper bound, valid on every rank, on a rank's assignments to one expert; 0: unknown
    int64_t rows = 0;         // upper bound on this rank's assignments if it is below the slots; 0: it is not
    bool only_homes = false;  // copies of experts get no rows
  };
  void prepare(Context& ctx, ConstTensor indices, DispatchPlan& plan, const Bounds& bounds);
  void prepare(Context& ctx, ConstTensor indices, DispatchPlan& plan) { prepare(ctx, indices, plan, Bounds{}); }

  // The number of each received row's assignment in the step's global batch (number_assignments), whichever rank the
  // row comes from -> (num_received) i32. `first_token`: index of the first token of `indices` in that batch.
  Tensor number(Context& ctx, ConstTensor indices, int64_t first_token, const DispatchPlan& plan);
  // values (tokens, k) i32, one for each slot -> those of the received rows (num_received)
  Tensor spread(Context& ctx, ConstTensor values, const DispatchPlan& plan);

  // Computes on a part's rows. `arrived` (part's received rows, width of what was sent) in the order of arrival ->
  // `back` (the same rows, width of what returns), in the same order. Both may be the same memory.
  using Compute = FunctionRef<void(const DispatchPart& part, ConstTensor arrived, Tensor back)>;
  // Rows go to the ranks of their experts, are computed on, and the results come back: `sent` (num_sorted, any width)
  // -> `returned` (num_sorted, any width), which may be `sent` itself; none: nothing returns. `kind`: what is sent,
  // dispatch or, in backward, combine; what returns is of the other kind. With overlap, part i + 1
  // travels while `compute` works on part i, and so do results; `meanwhile` is called once, while the first part is
  // under way. On one rank compute(sent, returned) is called, and `meanwhile` is not.
  void exchange(Context& ctx, const DispatchPlan& plan, TrafficKind kind, ConstTensor sent, Tensor returned,
                Compute compute, FunctionRef<void()> meanwhile = {});

  // The two halves of an exchange with one part, on several ranks. `sent` (num_sorted, width) -> `arrived`
  // (num_received, width), in the order of arrival: by rank, then by the sender's order; with overlap, `meanwhile` is
  // called while the rows are under way. The way back: `back` (num_received, width) -> `returned` (num_sorted, width).
  void send(const Context& ctx, const DispatchPlan& plan, ConstTensor sent, Tensor arrived,
            FunctionRef<void()> meanwhile = {});
  void send_back(const Context& ctx, const DispatchPlan& plan, ConstTensor back, Tensor returned);

  // Whether this rank holds all experts, so that no row is sent to another rank.
  bool alone() const { return group_->size() == 1; }
  // Whether rows travel while something is computed.
  bool overlaps() const { return overlap_ > 1 && !alone(); }
  int64_t num_parts() const { return num_parts_; }
  DispatchPart part(const DispatchPlan& plan, int64_t index) const;

 private:
  int64_t local_count() const { return counts_[as_index(group_->rank())]; }
  void sort(Context& ctx, const DispatchPlan& plan, ConstTensor indices, bool only_homes);
  void plan_parts(Context& ctx, DispatchPlan& plan, int64_t most_per_expert) const;
  Tensor to_experts(Context& ctx, ConstTensor sorted, const DispatchPlan& plan);
  void exchange_counts(Context& ctx, DispatchPlan& plan);
  void order_received(Context& ctx, DispatchPlan& plan);
  Pending start(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send, std::span<const int64_t> send_rows);

  std::shared_ptr<Communicator> group_;
  int64_t experts_, overlap_, num_parts_ = 1;
  std::vector<int64_t> counts_;  // places of each rank
  int64_t num_places_;
  std::vector<int32_t> order_;  // by place in the list of all ranks: its place by part
  ExpertPlaces places_;         // by part
  // Reused between calls, so that a step allocates nothing.
  std::vector<int32_t> sent_counts_, received_counts_;  // rows per (peer, its expert); rows per (peer, local expert)
  std::vector<int32_t> next_;                           // free row of each local expert
  std::vector<int32_t> offsets_, part_offsets_, by_expert_, by_arrival_;  // a plan's values before their copy
  std::vector<char> buffer_;
};

}  // namespace moe
