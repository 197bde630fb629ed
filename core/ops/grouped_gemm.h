// One matrix product per expert over rows that are sorted by expert, for the expert feed-forward layers. Experts may
// have any number of rows, including none. On the CPU the context says how they are computed (Products).
#pragma once
#include "core/ops/activation.h"
#include "core/tensor/context.h"

namespace moe {

// offsets (experts + 1) i32: expert e has rows [offsets[e], offsets[e + 1]) of x, y and their gradients. Rows before
// offsets[0] and from offsets[experts] on are not touched.

// x (rows, in), weight (experts, out, in) -> y (rows, out): y = x W_e^T
void grouped_gemm_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, ConstTensor offsets);
// z = x W_e^T and y = activation(z) in one call: x (rows, in), weight (experts, width_factor * d_ff, in) -> z (rows,
// width_factor * d_ff), which backward needs, and y (rows, d_ff), computed from z as it is stored
void grouped_gemm_activate_forward(Context& ctx, Tensor y, Tensor z, ConstTensor x, ConstTensor weight,
                                   ConstTensor offsets, Activation activation);
// d_y (rows, out), weight (experts, out, in) -> d_x (rows, in), overwritten
void grouped_gemm_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, ConstTensor offsets);
// d_y (rows, out), x (rows, in) -> d_weight (experts, out, in), added to or overwritten, also for experts without rows
void grouped_gemm_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                                  bool accumulate = true);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::grouped_gemm_forward) grouped_gemm_forward;
decltype(moe::grouped_gemm_activate_forward) grouped_gemm_activate_forward;
decltype(moe::grouped_gemm_backward_input) grouped_gemm_backward_input;
decltype(moe::grouped_gemm_backward_weight) grouped_gemm_backward_weight;
}  // namespace cuda

}  // namespace moe
