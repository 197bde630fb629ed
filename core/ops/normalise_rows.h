// Divides rows by their Euclidean norms.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d) -> norms (rows) = |x|, y (rows, d) = x / (|x| + offset); offset >= 0. A row of zeros stays a row of
// zeros.
// With `groups`, the offsets of grouped rows (grouped_rows.h), rows after the last group are not touched.
void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x, double offset,
                            ConstTensor groups = {});
// d_y (rows, d) -> d_x (rows, d), added to; a row of zeros with offset 0 gets no gradient
void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x, ConstTensor norms, double offset,
                             ConstTensor groups = {});

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::normalise_rows_forward) normalise_rows_forward;
decltype(moe::normalise_rows_backward) normalise_rows_backward;
}  // namespace cuda

}  // namespace moe
