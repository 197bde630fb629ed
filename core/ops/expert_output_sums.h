// Sums of each expert's outputs over the tokens that chose it, and the gradient of functions of these sums.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// rows (num_rows, d): outputs; position (tokens, k) i32: each slot's row or -1; indices (tokens, k) i32: its expert ->
// sums (experts, d) f64, added to, in the order of the tokens. Padding is excluded.
void expert_output_sums(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position, ConstTensor indices,
                        ConstTensor targets);
// gradient (experts, d) f64 = dL/dsums -> d_rows (num_rows, d), added to
void expert_output_sums_backward(Context& ctx, Tensor d_rows, ConstTensor gradient, ConstTensor position,
                                 ConstTensor indices, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::expert_output_sums) expert_output_sums;
decltype(moe::expert_output_sums_backward) expert_output_sums_backward;
}  // namespace cuda

}  // namespace moe
