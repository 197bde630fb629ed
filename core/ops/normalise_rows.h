// Rows over their Euclidean norms.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d) -> norms (rows) = |x|, y (rows, d) = x / (|x| + offset); offset >= 0. A row of zeros stays one.
// With `groups`, the offsets of grouped rows (grouped_rows.h), those behind the last are left alone.
void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x, double offset,
                            ConstTensor groups = {});
// d_y (rows, d) -> d_x (rows, d), added to; nothing for a row of zeros and offset 0, where there is no gradient
void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x, ConstTensor norms, double offset,
                             ConstTensor groups = {});

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::normalise_rows_forward) normalise_rows_forward;
decltype(moe::normalise_rows_backward) normalise_rows_backward;
}  // namespace cuda

}  // namespace moe
