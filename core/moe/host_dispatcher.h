// Dispatch in two stages, for experts on several hosts. A token is sent once to each host with an expert that it chose,
// to the rank there with the same index as its own; that rank, the token's partner, sends it on to the experts' ranks.
// On the way back the partner adds up the outputs of its host's experts, weighted, so that one row returns; or single
// rows return, where a layer needs each expert's output.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "core/moe/token_dispatcher.h"

namespace moe {

// The destinations of one micro-batch's tokens. "Arrived" tokens are those that this rank is the partner of, by rank,
// then by token.
struct HostPlan {
  DispatchPlan tokens;          // of one row for each pair (token, host)
  DispatchPlan single;          // of one row for each assignment, sorted by host; only where single rows return
  Tensor weights;               // (arrived, k): of the outputs; only where sums return
  Tensor to_single, to_inside;  // (assignments) i32: the orders by arrived slot, and by expert
};

class HostDispatcher {
 public:
  // `groups` must span even hosts (HostLayout). `overlap`: as for TokenDispatcher, of the second stage; above 1, other
  // work can also be done during the first. `sums`: the outputs of a host's experts return as one weighted sum.
  // `replicas`: as for TokenDispatcher.
  HostDispatcher(const ProcessGroups& groups, int64_t experts, int64_t overlap, bool sums, int64_t replicas = 0);

  // See TokenDispatcher.
  void place(ExpertPlaces places) { places_ = std::move(places); }

  // The second stage, between the ranks of this host.
  TokenDispatcher& inside() { return inside_; }
  const TokenDispatcher& inside() const { return inside_; }
  bool sums() const { return sums_; }

  // indices (tokens, k) i32, weights (tokens, k) or none where single rows return -> the plans of both stages.
  // `bounds`: as for TokenDispatcher, without rows. `numbers`, if given, gets the numbers of the rows' assignments
  // (TokenDispatcher::number).
  void prepare(Context& ctx, ConstTensor indices, ConstTensor weights, const TokenDispatcher::Bounds& bounds,
               HostPlan& plan, DispatchPlan& inside, ConstTensor* numbers);

  // The first stage: x (tokens, d) -> arrived (arrived, d). `kind`, here and below: dispatch for tokens and their
  // gradients, combine for outputs and theirs.
  void send_tokens(Context& ctx, const HostPlan& plan, TrafficKind kind, Tensor arrived, ConstTensor x,
                   FunctionRef<void()> meanwhile = {});
  // rows (arrived, width) -> adds to y (tokens, width) the rows of the token's hosts, in the order of hosts. Rows of
  // activations travel as `wire`: travelling_type(); others, as gradients of weights, in their own type.
  void return_sums(Context& ctx, const HostPlan& plan, TrafficKind kind, Tensor y, ConstTensor rows, DType wire);
  // The experts' outputs in the order of the second stage's sorted rows -> returned (assignments, d), in the order of
  // plan.single's; and the gradient the other way. `wire`: as above.
  void return_single(Context& ctx, const HostPlan& plan, Tensor returned, ConstTensor outputs, DType wire);
  void send_single(Context& ctx, const HostPlan& plan, Tensor d_outputs, ConstTensor d_returned, DType wire,
                   FunctionRef<void()> meanwhile = {});

 private:
  void prepare_single(Context& ctx, ConstTensor placed, ConstTensor arrived, int64_t rows, HostPlan& plan,
                      const DispatchPlan& inside);
  // `values` in memory that ctx's ops can use.
  static ConstTensor usable(Context& ctx, ScratchScope& scratch, std::vector<int32_t>& values);
  // values (tokens, k) i32 of slots, placed (tokens, k) -> arrived (arrived, k): those of the slots whose place is on
  // this host, else -1
  void send_slots(Context& ctx, const HostPlan& plan, Tensor arrived, ConstTensor values, ConstTensor placed);

  int64_t experts_, hosts_;
  bool sums_;
  HostLayout layout_;
  TokenDispatcher tokens_, single_, inside_;
  ExpertPlaces places_;
  std::vector<int32_t> host_of_, place_inside_;  // of each place: the index of its host, its place on that host
  std::vector<int32_t> zeros_;
};

}  // namespace moe
