// Dense products of matrices. On the CPU `products` says how they are computed: routers and strategies leave it out,
// layers pass their context's.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, in), weight (out, in) -> y (rows, out): y = x W^T
void linear_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, Products products = Products::full);
// d_y (rows, out), weight (out, in) -> d_x (rows, in), overwritten, or added to when `accumulate`
void linear_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, bool accumulate = false,
                           Products products = Products::full);
// d_y (rows, out), x (rows, in) -> d_weight (out, in), added to
void linear_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x,
                            Products products = Products::full);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::linear_forward) linear_forward;
decltype(moe::linear_backward_input) linear_backward_input;
decltype(moe::linear_backward_weight) linear_backward_weight;
}  // namespace cuda

}  // namespace moe
