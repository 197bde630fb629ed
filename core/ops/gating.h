// Computes chosen experts and their weights from router logits, in one pass per token. Always at least f32.
#pragma once
#include "core/tensor/context.h"

namespace moe {

struct GatingOptions {
  bool softmax_over_chosen = true;  // otherwise over all experts
  bool renormalise = true;  // divide the chosen experts' weights by their sum (no effect with softmax_over_chosen)
};

// logits (tokens, experts) -> probabilities (tokens, experts): softmax over all experts; logsumexp (tokens);
// indices (tokens, k) i32: the k largest logits, descending, ties to the smaller index, NaN last; weights (tokens, k)
void gating_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, Tensor indices, Tensor weights,
                    ConstTensor logits, GatingOptions options);
// The three parts of gating_forward, for routers that choose by other scores:
void softmax_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits);
// scores (tokens, experts) -> indices (tokens, slots) i32: the `active` <= slots largest, descending, ties to the
// smaller index, NaN last, never -inf; -1 in the remaining slots
void select_top_k(Context& ctx, Tensor indices, ConstTensor scores, int64_t active);
// indices (tokens, slots) i32 -> weights (tokens, slots); 0 in empty slots. If the weights would be divided by a sum of
// 0, they are equal instead.
void chosen_weights(Context& ctx, Tensor weights, ConstTensor probabilities, ConstTensor indices,
                    GatingOptions options);

// d_weights (tokens, slots) -> d_logits (tokens, experts), added to; empty slots (-1) contribute nothing
void gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor probabilities,
                     ConstTensor indices, ConstTensor weights, GatingOptions options);

// logits (tokens, experts) = -inf where closed, (experts) or (tokens, experts) i32, is not 0
void mask_experts(Context& ctx, Tensor logits, ConstTensor closed);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::gating_forward) gating_forward;
decltype(moe::gating_backward) gating_backward;
decltype(moe::softmax_forward) softmax_forward;
decltype(moe::select_top_k) select_top_k;
decltype(moe::chosen_weights) chosen_weights;
decltype(moe::mask_experts) mask_experts;
}  // namespace cuda

}  // namespace moe
