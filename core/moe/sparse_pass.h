// One pass of tokens through the experts that a routing chose: apply the capacity, dispatch, experts, collect, combine.
// Strategies differ in where the routing comes from and in how they use the result.
#pragma once
#include "core/base/function_ref.h"
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

  // The experts' outputs, back on the tokens' rank (rows, d_model) and sorted by global expert; plan().position holds
  // each slot's row.
  const Tensor& returned() const { return returned_; }
  const DispatchPlan& plan() const { return plan_; }
  ExpertOutputs outputs() const { return {returned_, plan_.position}; }

 private:
  // Applies training's dropout to the experts' outputs, or to their gradient.
  void drop(Context& ctx, const LayerParts& parts, Tensor rows) const;
  // Decides which assignments are dispatched, and to which rows.
  void plan(Context& ctx, LayerParts& parts, const TokenBatch& batch, const Routing& routing);
  // x (tokens, d_model) -> returned_
  void apply_experts(Context& ctx, LayerParts& parts, ConstTensor x);
  // d_returned, the gradient of the experts' outputs -> overwritten with the gradient of the rows that were sent to
  // them
  void experts_backward(Context& ctx, LayerParts& parts, Tensor d_returned);
  // Adds to ctx.signals.
  void report(Context& ctx, const Routing& routing) const;

  ConstTensor x_;
  CapacityLimit::Kept kept_;
  DispatchPlan plan_;
  ConstTensor numbers_;  // of the rows' assignments, with dropout of hidden units only
  Experts::Saved experts_;
  Tensor returned_;
};

// Allocates a routing's gradients.
RoutingGradient allocate_gradient(ScratchScope& scratch, const Routing& routing);

}  // namespace moe
