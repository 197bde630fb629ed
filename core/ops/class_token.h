// One learned row before or after the tokens of each sequence: the class token of a classifier.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (sequences * (time - 1), d), row (d) -> y (sequences * time, d): each sequence is the row, followed by the
// sequence's rows of x
void class_token_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor row, int64_t time);
// d_y (sequences * time, d) -> d_x like x, overwritten; d_row (d) wide, added to, in the order of the sequences
void class_token_backward(Context& ctx, Tensor d_x, Tensor d_row, ConstTensor d_y, int64_t time);

// The same at the end of texts: the row replaces the last token of each sequence in hidden (sequences * time, d).
// lengths (sequences) i32 are the sequences' token counts; a sequence of length 0 stays unchanged. Without lengths all
// sequences are full.
void end_token_forward(Context& ctx, Tensor hidden, ConstTensor row, ConstTensor lengths, int64_t time);
// d_hidden (sequences * time, d) -> d_row (d) wide, added to, in the order of the sequences; then sets these rows of
// d_hidden to 0, because the replaced values have no gradient
void end_token_backward(Context& ctx, Tensor d_hidden, Tensor d_row, ConstTensor lengths, int64_t time);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::class_token_forward) class_token_forward;
decltype(moe::class_token_backward) class_token_backward;
decltype(moe::end_token_forward) end_token_forward;
decltype(moe::end_token_backward) end_token_backward;
}  // namespace cuda

}  // namespace moe
