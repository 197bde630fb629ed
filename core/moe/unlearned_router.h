// Base class of routers without trained parameters: all logits are 0 unless choose() changes them, and there are no
// gradients.
#pragma once
#include "core/moe/router.h"

namespace moe {

class UnlearnedRouter : public Router {
 public:
  void backward(Context&, const TokenBatch&, Tensor, Tensor, const RoutingGradient&, const Routing&) final {}

 protected:
  void route(Context& ctx, const TokenBatch& batch, Routing& routing) final;
  // Throws UsageError if k exceeds the number of experts.
  // `where`: the key of k, for messages.
  UnlearnedRouter(const std::string& where, const Setup& setup, int64_t k);
  // Fills the routing, whose tensors are allocated and whose logits are 0.
  virtual void choose(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;

  const int64_t experts_;
};

}  // namespace moe
