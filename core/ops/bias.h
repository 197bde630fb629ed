// Adds one bias to all rows, or one bias per group of rows (the rows of the experts, sorted by expert).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// y (rows, n) += the row's bias: bias (n) for all rows; or bias (groups, n) and offsets (groups + 1) i32, where group g
// has the rows [offsets[g], offsets[g + 1]), and rows before the first group and after the last
// one get none. y may be wider than bias.
void bias_forward(Context& ctx, Tensor y, ConstTensor bias, ConstTensor offsets = {});
// d_y (rows, n) -> d_bias, wide, like bias: sums over rows, added to, or overwritten unless `accumulate`
void bias_backward(Context& ctx, Tensor d_bias, ConstTensor d_y, ConstTensor offsets = {}, bool accumulate = true);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::bias_forward) bias_forward;
decltype(moe::bias_backward) bias_backward;
}  // namespace cuda

}  // namespace moe
