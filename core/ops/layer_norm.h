// Layer normalisation: y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, row by row, with the biased variance of
// the row (Ba et al., 2016).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d), weight and bias (d) -> y (rows, d), statistics (rows, 2): mean, 1 / sqrt(var + eps); wide
void layer_norm_forward(Context& ctx, Tensor y, Tensor statistics, ConstTensor x, ConstTensor weight, ConstTensor bias,
                        double eps);
// d_y (rows, d) -> d_x (rows, d), overwritten, or added to when `accumulate`; d_weight and d_bias (d), wide, added to
void layer_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x,
                         ConstTensor weight, ConstTensor statistics, bool accumulate);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::layer_norm_forward) layer_norm_forward;
decltype(moe::layer_norm_backward) layer_norm_backward;
}  // namespace cuda

}  // namespace moe
