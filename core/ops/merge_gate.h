// Mixes two versions of each token by a learned gate.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// a and b (tokens, d), logits (tokens, 1), bias (1) -> gates (tokens) = sigmoid(logit + bias);
// y (tokens, d) = gate * a + (1 - gate) * b
void merge_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor a, ConstTensor b, ConstTensor logits,
                        ConstTensor bias);
// d_y (tokens, d) -> d_a, d_b (tokens, d) and d_logits (tokens, 1), overwritten; d_bias (1), added to
void merge_gate_backward(Context& ctx, Tensor d_a, Tensor d_b, Tensor d_logits, Tensor d_bias, ConstTensor d_y,
                         ConstTensor a, ConstTensor b, ConstTensor gates);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::merge_gate_forward) merge_gate_forward;
decltype(moe::merge_gate_backward) merge_gate_backward;
}  // namespace cuda

}  // namespace moe
