// Tokens through the experts that a plan sends them to: their rows go to the experts' ranks, are computed, and return.
#pragma once
#include "core/base/function_ref.h"
#include "core/moe/experts.h"
#include "core/moe/token_dispatcher.h"

namespace moe {

class ExpertPass {
 public:
  // Whose experts, and how they are reached.
  struct Route {
    TokenDispatcher& dispatcher;
    Experts& experts;
    FunctionRef<void()> meanwhile{};  // work to do while rows travel, if they do
  };

  // Set before forward: the tokens' destinations and, with dropout of hidden units only, the numbers of the received
  // rows' assignments.
  DispatchPlan plan{};
  ConstTensor numbers{};

  // x (tokens, d_model) -> `returned` (num_sorted, d_model): the experts' outputs, in the order of sorted rows. All
  // tensors must live until backward. With Experts::recomputes(), hidden units and, where rows do not travel, the
  // experts' inputs are computed again.
  void forward(Context& ctx, const Route& route, Tensor returned, ConstTensor x);
  // d_returned (num_sorted, d_model) -> overwritten with the gradient of the rows that were sent; permute_backward adds
  // it to that of x.
  void backward(Context& ctx, const Route& route, Tensor d_returned);

 private:
  ConstTensor x_;
  Experts::Saved saved_;
};

}  // namespace moe
