// Router: chooses the experts of each token and their weights. Members are in routers/, the table in router.cpp.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "core/moe/build_context.h"
#include "core/moe/load_stats.h"
#include "core/moe/router_traits.h"
#include "core/moe/routing.h"
#include "core/nn/token_batch.h"

namespace moe {

class Router {
 public:
  using Setup = BuildContext;

  virtual ~Router() = default;
  const RouterTraits& traits() const { return traits_; }
  // x (tokens, d_model), which must live until backward. In a ReplayScope only routing.x is set again: the choices are
  // those of the first pass.
  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing);
  // `d_routing`: gradients of the routing's weights and, where it has one, of its skip. d_logits (tokens, experts)
  // holds the balance losses' gradient on entry. Adds to d_x and to the router's parameters' gradients.
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits,
                        const RoutingGradient& d_routing, const Routing& routing) = 0;
  // From now on the experts for which closed i32 is not 0 get no tokens: tokens choose among the others. An empty
  // tensor opens all experts again. closed: (experts), or (tokens, experts) for the tokens 0, 1, ... of an evaluation;
  // each token must have an open expert. Throws UsageError for a router whose tokens do not choose by the experts'
  // logits.
  virtual void close_experts(ConstTensor closed);
  // Called after the optimizer's step, with the step's load over all ranks; the same on every rank.
  virtual void after_step(Context& ctx, const LoadStats& load) { (void)ctx, (void)load; }

 protected:
  // The router's input for the layer's input x (tokens, d_model): x itself, or a tensor that is allocated here.
  virtual ConstTensor input(Context& ctx, ConstTensor x) const { return (void)ctx, x; }
  // routing.x (tokens, d_model) -> all other members of the routing, allocated here
  virtual void route(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;

  int64_t k() const { return traits_.k; }
  // Set by the constructors of members.
  RouterTraits traits_;
};

// Throws UsageError if an event of moe.lifecycle has multiplied the experts per token of a router whose number is
// fixed.
void require_own_k(const BuildContext& context, const char* why);

// Throws UsageError, for moe.modality_bias, if the batches have one modality.
void require_modalities(const BuildContext& context);

}  // namespace moe
