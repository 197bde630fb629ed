// What a router decided for a micro-batch; the strategy owns it and hands it back for backward.
#pragma once
#include <array>

#include "core/tensor/tensor.h"

namespace moe {

struct Routing {
  ConstTensor x;                // (tokens, d_model), the router's input
  Tensor logits;                // (tokens, experts), f32 at least
  Tensor probabilities;         // (tokens, experts): softmax of the logits over all experts
  Tensor logsumexp;             // (tokens), of the logits
  Tensor indices;               // (tokens, k) i32: the chosen experts, -1 for an empty slot
  Tensor weights;               // (tokens, k): of the chosen experts' outputs
  Tensor skip;                  // (tokens), or none: the weight of the token itself in its output
  std::array<Tensor, 4> extra;  // whatever else a member wants to find again
};

struct RoutingGradient {
  Tensor weights;  // (tokens, k)
  Tensor skip;     // (tokens), where the routing has one
};

}  // namespace moe
