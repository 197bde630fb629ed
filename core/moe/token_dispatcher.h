// Dispatch: token rows to the ranks and experts that were chosen for them, and the results back. Dropless:
// every assignment travels, none is padded, and a rank with no rows for another sends it nothing.
#pragma once
#include <memory>
#include <vector>

#include "comm/process_groups.h"
#include "core/tensor/context.h"

namespace moe {

// Where the rows of one micro-batch went. `sorted` rows are this rank's assignments by global expert; `received` rows
// are those of all ranks for the local experts, by expert, then by rank, then by token.
struct DispatchPlan {
  Tensor position;        // (tokens, k) i32: sorted row of each slot, -1 for none
  Tensor source;          // (tokens * k) i32: slot of each sorted row
  Tensor global_offsets;  // (experts + 1) i32 over sorted rows
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

  // x (tokens, d), indices (tokens, k) i32 -> received rows (num_received, d), sorted by local expert.
  // `most_per_expert`: how many of this rank's assignments an expert has at most, on no rank more (0 = unknown); memory
  // is planned for so many.
  Tensor dispatch(Context& ctx, ConstTensor x, ConstTensor indices, DispatchPlan& plan, int64_t most_per_expert = 0);
  // d_received -> adds to d_x
  void dispatch_backward(Context& ctx, Tensor d_x, ConstTensor d_received, const DispatchPlan& plan);

  // Of what was dispatched: each received row's number in the step's global batch (number_assignments), whatever rank
  // it is of -> (num_received) i32. `first_token`: the number there of x's first token.
  Tensor number(Context& ctx, ConstTensor indices, int64_t first_token, const DispatchPlan& plan);

  // Results of the experts, out (num_received, width) of any width -> the same rows back at their tokens' rank, sorted
  // by global expert (num_sorted, width).
  Tensor collect(Context& ctx, Tensor out, const DispatchPlan& plan);
  // d_returned (num_sorted, width) -> d_out (num_received, width), in `scratch` or the same memory
  Tensor collect_backward(Context& ctx, ScratchScope& scratch, Tensor d_returned, const DispatchPlan& plan);

 private:
  void exchange_counts(Context& ctx, DispatchPlan& plan, int64_t most_per_expert);
  bool alone() const { return group_->size() == 1; }

  std::shared_ptr<Communicator> group_;
  int64_t experts_;
  // Reused between calls: a step allocates nothing.
  std::vector<int32_t> counts_, received_counts_;  // rows per global expert; rows per (peer, local expert)
  std::vector<int64_t> send_experts_, receive_experts_;
  std::vector<int32_t> offsets_, by_expert_, by_arrival_;  // of a plan, on their way to its tensors
  std::vector<char> buffer_;
};

}  // namespace moe
