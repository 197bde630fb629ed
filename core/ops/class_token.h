// One learned row before the tokens of each sequence: the class token of a transformer that classifies.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (sequences * (time - 1), d), row (d) -> y (sequences * time, d): each sequence is the row, then its own rows of x
void class_token_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor row, int64_t time);
// d_y (sequences * time, d) -> d_x like x, overwritten; d_row (d) wide, added to, in the order of the sequences
void class_token_backward(Context& ctx, Tensor d_x, Tensor d_row, ConstTensor d_y, int64_t time);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::class_token_forward) class_token_forward;
decltype(moe::class_token_backward) class_token_backward;
}  // namespace cuda

}  // namespace moe
