// Root-mean-square normalisation (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + eps) * weight, per row.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d), weight (d) -> y (rows, d), inverse_rms (rows): 1 / sqrt(mean(x^2) + eps), stored for backward
void rms_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor weight, double eps);
// d_y (rows, d) -> d_x (rows, d), overwritten, or added to when `accumulate`; d_weight (d), added to
void rms_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor weight,
                       ConstTensor inverse_rms, bool accumulate);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::rms_norm_forward) rms_norm_forward;
decltype(moe::rms_norm_backward) rms_norm_backward;
}  // namespace cuda

}  // namespace moe
