// Dispatch: sends token rows to the ranks and experts that were chosen for them, and the results back. It is dropless:
// every assignment is sent, there is no padding, and a rank without rows for another rank sends it nothing.
#pragma once
#include <memory>
#include <vector>

#include "comm/process_groups.h"
#include "core/tensor/context.h"

namespace moe {

// The destinations of one micro-batch's rows. `sorted` rows are this rank's assignments by the place of their expert
// (ExpertMap::places): by rank, then by global expert; without a map that is by global expert. `received` rows are
// those of all ranks for the local experts, by expert, then by rank, then by token.
struct DispatchPlan {
  Tensor position;        // (tokens, k) i32: sorted row of each slot, -1 for none
  Tensor source;          // (tokens * k) i32: slot of each sorted row
  Tensor global_offsets;  // (experts + 1) i32 over sorted rows, by place
  int64_t num_sorted = 0;

  int64_t num_received = 0;
  Tensor local_offsets;  // (local experts + 1) i32 over received rows
  // With more than one expert-parallel rank: rows per peer, and the two orders of received rows.
  std::vector<int64_t> send_rows, receive_rows;
  Tensor by_expert;   // (received) i32: arrival index of each row by expert
  Tensor by_arrival;  // (received) i32: the inverse
};

class TokenDispatcher {
 public:
  TokenDispatcher(const ProcessGroups& groups, int64_t experts);

  // From now on expert e is in place `places[e]` of the list of all ranks' experts, of which each rank holds its
  // contiguous share.
  void place(std::vector<int32_t> places);

  // x (tokens, d), indices (tokens, k) i32 -> received rows (num_received, d), sorted by local expert.
  // `most_per_expert`: upper bound, valid on every rank, on a rank's assignments to one expert (0 = unknown); memory is
  // planned for it.
  Tensor dispatch(Context& ctx, ConstTensor x, ConstTensor indices, DispatchPlan& plan, int64_t most_per_expert = 0) {
    prepare(ctx, indices, plan, most_per_expert);
    return send(ctx, x, plan);
  }
  // The two halves of dispatch(): sorts the assignments and exchanges their numbers; sends the rows, for which the same
  // plan may be used again.
  void prepare(Context& ctx, ConstTensor indices, DispatchPlan& plan, int64_t most_per_expert = 0);
  Tensor send(Context& ctx, ConstTensor x, const DispatchPlan& plan);
  // d_received -> adds to d_x
  void dispatch_backward(Context& ctx, Tensor d_x, ConstTensor d_received, const DispatchPlan& plan);

  // The number of each received row's assignment in the step's global batch (number_assignments), whichever rank the
  // row comes from -> (num_received) i32. `first_token`: index of x's first token in that batch.
  Tensor number(Context& ctx, ConstTensor indices, int64_t first_token, const DispatchPlan& plan);

  // The experts' results, out (num_received, width) of any width -> the same rows, back on their tokens' rank and
  // in the order of sorted rows (num_sorted, width).
  Tensor collect(Context& ctx, Tensor out, const DispatchPlan& plan);
  // d_returned (num_sorted, width) -> d_out (num_received, width), in `scratch` or the same memory
  Tensor collect_backward(Context& ctx, ScratchScope& scratch, Tensor d_returned, const DispatchPlan& plan);

  // Whether this rank holds all experts, so that no row is sent to another rank.
  bool alone() const { return group_->size() == 1; }

 private:
  void sort(Context& ctx, const DispatchPlan& plan, ConstTensor indices);
  void exchange_counts(Context& ctx, DispatchPlan& plan, int64_t most_per_expert);

  std::shared_ptr<Communicator> group_;
  int64_t experts_;
  std::vector<int32_t> places_;  // by expert; empty: in order
  // Reused between calls, so that a step allocates nothing.
  std::vector<int32_t> counts_, received_counts_;  // rows per place; rows per (peer, local expert)
  std::vector<int64_t> send_experts_, receive_experts_;
  std::vector<int32_t> offsets_, by_expert_, by_arrival_;  // a plan's values before the copy to its tensors
  std::vector<char> buffer_;
};

}  // namespace moe
