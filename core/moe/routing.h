// What a router decided for a micro-batch; the strategy owns it and hands it back for backward.
#pragma once
#include <array>

#include "core/tensor/tensor.h"

namespace moe {

// Of a router whose logits have noise, all (tokens, experts): what the `load` balance loss is a function of.
struct RouterNoise {
  Tensor clean, noisy;  // logits without and with it
  Tensor deviation;     // its standard deviation
  // What balance losses add to the gradients of `noisy` and of `deviation` for fixed `noisy`; the router takes it from
  // there in its backward.
  Tensor d_noisy, d_deviation;
};

struct Routing {
  ConstTensor x;                // (tokens, d_model), the router's input
  Tensor logits;                // (tokens, experts), f32 at least
  Tensor probabilities;         // (tokens, experts): softmax of the logits over all experts
  Tensor logsumexp;             // (tokens), of the logits
  Tensor indices;               // (tokens, k) i32: the chosen experts, -1 for an empty slot
  Tensor weights;               // (tokens, k): of the chosen experts' outputs
  Tensor skip;                  // (tokens), or none: the weight of the token itself in its output
  RouterNoise noise;            // or none
  std::array<Tensor, 4> extra;  // whatever else a member wants to find again
  int64_t most_per_expert = 0;  // when it is known how many tokens an expert gets at most; else 0
};

// The chosen experts' outputs, for losses that are functions of them.
struct ExpertOutputs {
  ConstTensor rows;      // (rows, d_model), by expert
  ConstTensor position;  // (tokens, k) i32: each slot's row, -1 for none
};

struct RoutingGradient {
  Tensor weights;  // (tokens, k)
  Tensor skip;     // (tokens), where the routing has one
};

}  // namespace moe
