// From router logits to chosen experts and their weights, one pass per token. Always at least f32.
#pragma once
#include "core/tensor/context.h"

namespace moe {

struct GatingOptions {
  bool softmax_over_chosen = true;  // else over all experts
  bool renormalise = true;          // divide the weights of the chosen by their sum (no change over the chosen)
};

// logits (tokens, experts) -> probabilities (tokens, experts): softmax over all experts; logsumexp (tokens);
// indices (tokens, k) i32: the k largest logits, descending, ties to the smaller index, NaN last; weights (tokens, k)
void gating_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, Tensor indices, Tensor weights,
                    ConstTensor logits, GatingOptions options);
// d_weights (tokens, k) -> d_logits (tokens, experts), added to
void gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor probabilities,
                     ConstTensor indices, ConstTensor weights, GatingOptions options);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::gating_forward) gating_forward;
decltype(moe::gating_backward) gating_backward;
}  // namespace cuda

}  // namespace moe
