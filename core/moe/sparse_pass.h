// One pass of tokens through the experts that a routing chose for them: dispatch, experts, collect, combine. The
// strategies differ in where the routing comes from and in what they do with the result.
#pragma once
#include <functional>

#include "core/moe/experts.h"
#include "core/moe/router.h"
#include "core/moe/token_dispatcher.h"

namespace moe {

class SparsePass {
 public:
  // x (tokens, d_model) -> (tokens, d_model). Everything given must live until backward.
  Tensor forward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x, const Routing& routing);

  // More gradient on the chosen experts' outputs than combine's: adds to d_returned (rows, d_model).
  using OutputGradient = std::function<void(Tensor d_returned)>;
  // d_y (tokens, d_model) -> adds to d_x (tokens, d_model); d_routing, overwritten
  void backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x,
                const RoutingGradient& d_routing, ConstTensor d_y, const Routing& routing,
                const OutputGradient& more = {});

  // The experts' outputs at the tokens' rank (rows, d_model), sorted by global expert; plan().position has each slot's
  // row.
  const Tensor& returned() const { return returned_; }
  const DispatchPlan& plan() const { return plan_; }
  ExpertOutputs outputs() const { return {returned_, plan_.position}; }

 private:
  ConstTensor x_;
  DispatchPlan plan_;
  Experts::Saved experts_;
  Tensor returned_;
};

// Room for a routing's gradients.
RoutingGradient allocate_gradient(ScratchScope& scratch, const Routing& routing);

}  // namespace moe
