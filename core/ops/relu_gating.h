// Gating by ReLU: an expert is chosen if its logit is positive, and weighted by the logit (Wang et al., 2025, ReMoE).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// logits (tokens, experts) -> indices (tokens, experts) i32: slot e holds expert e or -1; weights: max(logit, 0)
void relu_gating_forward(Context& ctx, Tensor indices, Tensor weights, ConstTensor logits);
// d_weights (tokens, experts) -> d_logits (tokens, experts), added to: for chosen experts d_weights, plus factors
// (experts) f64 in host memory times coefficient (1) unless the token is not scored
void relu_gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor indices,
                          ConstTensor targets, ConstTensor coefficient, ConstTensor factors);
// coefficient (1) * the sum of all weights, padding excluded -> sum (1) f64, added to
void scaled_weight_sum(Context& ctx, Tensor sum, ConstTensor weights, ConstTensor targets, ConstTensor coefficient);
// x (elements) = x * factor, clamped to [least, most]
void scale_within(Context& ctx, Tensor x, double factor, double least, double most);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::relu_gating_forward) relu_gating_forward;
decltype(moe::relu_gating_backward) relu_gating_backward;
decltype(moe::scaled_weight_sum) scaled_weight_sum;
decltype(moe::scale_within) scale_within;
}  // namespace cuda

}  // namespace moe
