// A router's result for a micro-batch. The strategy owns it and passes it to backward again.
#pragma once
#include <array>

#include "core/tensor/tensor.h"

namespace moe {

// The noise of a router with noisy logits, all (tokens, experts). The `load` balance loss is computed from it.
struct RouterNoise {
  Tensor clean, noisy;  // logits without and with noise
  Tensor deviation;     // standard deviation of the noise
  // Balance losses add here to the gradients of `noisy`, and of `deviation` for fixed `noisy`; the router's backward
  // uses them.
  Tensor d_noisy, d_deviation;
};

struct Routing {
  ConstTensor x;                // (tokens, d_model), the router's input
  Tensor logits;                // (tokens, experts), f32 at least
  Tensor probabilities;         // (tokens, experts): softmax of the logits over all experts
  Tensor logsumexp;             // (tokens), of the logits
  Tensor indices;               // (tokens, k) i32: the chosen experts, -1 for an empty slot
  Tensor weights;               // (tokens, k): weights of the chosen experts' outputs
  Tensor skip;                  // (tokens), or none: the weight of the token itself in its output
  RouterNoise noise;            // or none
  Tensor uncertainty;           // (tokens), or none: the router's own estimate, at least 0
  std::array<Tensor, 4> extra;  // further tensors that a member needs in its backward
  int64_t most_per_expert = 0;  // upper bound on an expert's tokens if known, else 0
};

// The chosen experts' outputs, for losses that are computed from them.
struct ExpertOutputs {
  ConstTensor rows;      // (rows, d_model), sorted by expert
  ConstTensor position;  // (tokens, k) i32: each slot's row, -1 for none
};

struct RoutingGradient {
  Tensor weights;  // (tokens, k)
  Tensor skip;     // (tokens), where the routing has one
};

}  // namespace moe
