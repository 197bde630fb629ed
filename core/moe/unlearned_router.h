// Routers without anything to learn: all logits are 0 until choose() says otherwise, and no gradient goes anywhere.
#pragma once
#include "core/moe/router.h"

namespace moe {

class UnlearnedRouter : public Router {
 public:
  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) final;
  void backward(Context&, const TokenBatch&, Tensor, Tensor, const RoutingGradient&, const Routing&) final {}

 protected:
  // Throws UsageError for a k that the experts don't suffice for.
  // `where`: the place of k.
  UnlearnedRouter(const std::string& where, const Setup& setup, int64_t k);
  // Everything of the routing is allocated and its logits are 0: fills the rest.
  virtual void choose(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;

  const int64_t experts_;
};

}  // namespace moe
