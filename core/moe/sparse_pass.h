// One pass of tokens through the experts that a routing chose: apply the capacity, dispatch, experts, collect, combine.
// Strategies differ in where the routing comes from and in how they use the result.
#pragma once
#include "core/base/function_ref.h"
#include "core/moe/expert_pass.h"
#include "core/moe/layer_parts.h"
#include "core/moe/router.h"

namespace moe {

// Adds to the gradient of the experts' outputs.
using OutputGradient = FunctionRef<void(Tensor d_returned)>;

class SparsePass {
 public:
  // x (tokens, d_model) -> (tokens, d_model). All arguments must live until backward.
  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x, const Routing& routing);

  // d_y (tokens, d_model) -> adds to d_x (tokens, d_model), overwrites d_routing. `more` adds to d_returned (rows,
  // d_model) the gradients of the chosen experts' outputs that do not come through combine.
  void backward(Context& ctx, LayerParts& parts, Tensor d_x, const RoutingGradient& d_routing, ConstTensor d_y,
                const Routing& routing, const OutputGradient& more = {});

  // The experts' outputs, back on the tokens' rank (rows, d_model); plan().position holds each slot's row, and the last
  // of plan().global_offsets their number. Only for layers that need them (MoELayer::needs_outputs), because other
  // layers' outputs may return as sums.
  const Tensor& returned() const {
    MOE_CHECK(bool(returned_), "single outputs of a pass whose outputs return as sums");
    return returned_;
  }
  // The choices that the last forward() dispatched (tokens, slots) i32: -1 for an empty slot and for a dropped choice.
  ConstTensor kept() const { return kept_.indices; }
  const DispatchPlan& plan() const { return single_ ? host_plan_.single : experts_.plan; }
  // The same; empty if outputs return as sums.
  ExpertOutputs outputs() const { return returned_ ? ExpertOutputs{returned_, plan().position} : ExpertOutputs{}; }

 private:
  // Applies training's dropout to the experts' outputs, or to their gradient.
  void drop(Context& ctx, const LayerParts& parts, Tensor rows) const;
  // Decides which assignments are dispatched, and to which rows.
  void make_plan(Context& ctx, LayerParts& parts, const TokenBatch& batch, const Routing& routing);
  // x -> returned_
  void apply_experts(Context& ctx, LayerParts& parts, ConstTensor x);
  // d_returned, the gradient of the experts' outputs -> adds to d_x
  void experts_backward(Context& ctx, LayerParts& parts, Tensor d_x, Tensor d_returned);
  // Where outputs return as one sum for each host: x -> y; d_y -> adds to d_x, overwrites d_weights.
  void sum_over_hosts(Context& ctx, LayerParts& parts, Tensor y, ConstTensor x);
  void sum_backward(Context& ctx, LayerParts& parts, Tensor d_x, Tensor d_weights, ConstTensor d_y,
                    const Routing& routing);
  Tensor arrived_tokens(Context& ctx, ScratchScope& scratch, LayerParts& parts, ConstTensor x);
  // Adds to ctx.signals.
  void report(Context& ctx, const Routing& routing) const;

  ConstTensor x_;
  CapacityLimit::Kept kept_;
  ExpertPass experts_;   // on the ranks that rows are sent to directly, or on this rank's host
  HostPlan host_plan_;   // with two stages
  bool single_ = false;  // whether there are two stages and outputs return singly
  Tensor returned_;      // the outputs for this rank's tokens; none where they return as sums
  Tensor summed_;        // then: the outputs for the tokens that this rank is the partner of
};

// Allocates a routing's gradients.
RoutingGradient allocate_gradient(ScratchScope& scratch, const Routing& routing);

}  // namespace moe
