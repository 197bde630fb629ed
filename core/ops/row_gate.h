// Scales rows by learned gates: the sigmoid of a logit per row (the gate of Qwen2-MoE's shared expert).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d), logits (rows, 1), wide -> gates (rows), wide = sigmoid(logit); y (rows, d) += gate * x
void row_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor x, ConstTensor logits);
// d_y (rows, d), x (rows, d), gates (rows) -> d_x (rows, d) and d_logits (rows, 1), wide, both overwritten
void row_gate_backward(Context& ctx, Tensor d_x, Tensor d_logits, ConstTensor d_y, ConstTensor x, ConstTensor gates);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::row_gate_forward) row_gate_forward;
decltype(moe::row_gate_backward) row_gate_backward;
}  // namespace cuda

}  // namespace moe
