// Router: which experts a token goes to, and with what weight. Members are in routers/, the table in router.cpp.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "core/moe/layer_setup.h"
#include "core/moe/load_stats.h"
#include "core/moe/routing.h"
#include "core/nn/token_batch.h"

namespace moe {

// What draws a router's tokens to its experts: the larger <row e, x> is, the more does expert e get of a token x.
struct ExpertDirections {
  Parameter* rows = nullptr;              // (experts, width)
  const Parameter* projection = nullptr;  // (width, d_model), of the token before; none: the token itself
  bool unit = false;                      // only the direction of a row counts
  std::string why_none{};                 // where there are no such rows
};

class Router {
 public:
  using Setup = LayerSetup;

  virtual ~Router() = default;
  // Slots per token: the width of Routing::indices. A slot may stay empty (-1).
  virtual int64_t k() const = 0;
  // Experts that a token really goes to, on average: when training has ended, and over all its updates.
  virtual double final_k() const { return static_cast<double>(k()); }
  virtual double mean_k() const { return final_k(); }
  // At an update, counted from 0.
  virtual double k_at(uint64_t update) const {
    (void)update;
    return final_k();
  }
  // Why the number of experts cannot change during a run (moe.life); empty: it can.
  virtual std::string fixed_experts() const { return ""; }
  // Why c copies of every expert, c times as many of them chosen, do not give at evaluation what one of each gave;
  // empty: they do.
  virtual std::string unlike_copies() const { return ""; }
  // Whether an expert takes a stated number of tokens, however many would like to go there.
  virtual bool bounds_load() const { return false; }
  // Of the trained model. While it is trained a router may couple more tokens.
  virtual Causality causality() const { return Causality::causal; }
  virtual Causality training_causality() const { return causality(); }
  // x (tokens, d_model), which must live until backward
  virtual void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) = 0;
  // `d_routing`: gradients of the routing's weights and, where it has one, of its skip. d_logits (tokens, experts)
  // holds the balance losses' gradient on entry. Adds to d_x and to the router's parameters' gradients.
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits,
                        const RoutingGradient& d_routing, const Routing& routing) = 0;
  // From now on the experts for which closed i32 is not 0 get no token, and tokens go to what they would choose without
  // them; none opens all again. closed: (experts), or (tokens, experts) for the tokens 0, 1, ... of an evaluation, each
  // of which has an open one. Throws UsageError for a router whose tokens do not choose by the experts' logits.
  virtual void close_experts(ConstTensor closed);
  // For whoever says where experts begin (core/train/cluster_start.h).
  virtual ExpertDirections directions() { return {nullptr, nullptr, false, "it has no matrix with a row per expert"}; }
  // After the optimizer's step, with the step's load over all ranks; the same on every rank.
  virtual void after_step(Context& ctx, const LoadStats& load) { (void)ctx, (void)load; }
};

// Throws UsageError where an event of moe.life has multiplied the experts per token of a router whose number is its
// own.
void require_own_k(const LayerSetup& setup, const char* why);

}  // namespace moe
