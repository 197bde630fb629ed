// Router: which experts a token goes to, and with what weight. Members are in routers/, the table in router.cpp.
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>

#include "core/config/moe_config.h"
#include "core/nn/parameter.h"
#include "core/nn/token_batch.h"

namespace moe {

// What a router decided for a micro-batch; the strategy owns it and hands it back for backward.
struct Routing {
  ConstTensor x;                // (tokens, d_model), the router's input
  Tensor logits;                // (tokens, experts), f32 at least
  Tensor probabilities;         // (tokens, experts): softmax of the logits over all experts
  Tensor logsumexp;             // (tokens), of the logits
  Tensor indices;               // (tokens, k) i32: the chosen experts, -1 for an empty slot
  Tensor weights;               // (tokens, k): of the chosen experts' outputs
  std::array<Tensor, 4> extra;  // whatever else a member wants to find again
};

class Router {
 public:
  struct Setup {
    ParameterStore& parameters;
    std::string name;  // of the layer, the prefix of parameter names
    int layer = 0;
    int64_t d_model = 0;
    int64_t experts = 0;
    double init_std = 0.02;
  };

  virtual ~Router() = default;
  // Slots per token: the width of Routing::indices.
  virtual int64_t k() const = 0;
  // x (tokens, d_model), which must live until backward
  virtual void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) = 0;
  // d_weights (tokens, k); d_logits (tokens, experts) holds the balance losses' gradient on entry. Adds to d_x and to
  // the router's parameters' gradients.
  virtual void backward(Context& ctx, Tensor d_x, Tensor d_logits, ConstTensor d_weights, const Routing& routing) = 0;
  // After the optimizer's step; `counts` are the step's assignments per expert over all ranks.
  virtual void after_step(std::span<const double> counts) { (void)counts; }
};

// Routers that choose by softmax of logits share everything but how the logits are made.
class SoftmaxRouter : public Router {
 public:
  int64_t k() const override { return k_; }
  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) override;
  void backward(Context& ctx, Tensor d_x, Tensor d_logits, ConstTensor d_weights, const Routing& routing) override;

 protected:
  struct Softmax {
    int64_t k = 2;
    bool over_chosen = true;
    bool renormalise = true;
  };
  // Throws UsageError for a k that does not fit, and for k = 1 with renormalised weights.
  SoftmaxRouter(const Setup& setup, const Softmax& softmax);

  // routing.x -> routing.logits (allocated here)
  virtual void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;
  // d_logits -> adds to d_x and to parameters
  virtual void logits_backward(Context& ctx, Tensor d_x, ConstTensor d_logits, const Routing& routing) = 0;

  int64_t experts_;

 private:
  int64_t k_;
  Softmax softmax_;
};

}  // namespace moe
