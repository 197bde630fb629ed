// One learned row before the tokens of each sequence, or behind them: the class token of a transformer that classifies.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (sequences * (time - 1), d), row (d) -> y (sequences * time, d): each sequence is the row, then its own rows of x
void class_token_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor row, int64_t time);
// d_y (sequences * time, d) -> d_x like x, overwritten; d_row (d) wide, added to, in the order of the sequences
void class_token_backward(Context& ctx, Tensor d_x, Tensor d_row, ConstTensor d_y, int64_t time);

// The same behind texts: hidden (sequences * time, d) gets the row at the last token of each sequence, of which lengths
// (sequences) i32 says the tokens; 0 for none, whose sequence stays as it is. Without lengths they are all full.
void end_token_forward(Context& ctx, Tensor hidden, ConstTensor row, ConstTensor lengths, int64_t time);
// d_hidden (sequences * time, d) -> d_row (d) wide, added to, in the order of the sequences; the rows are then 0 in
// d_hidden, because what stood there before has no gradient
void end_token_backward(Context& ctx, Tensor d_hidden, Tensor d_row, ConstTensor lengths, int64_t time);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::class_token_forward) class_token_forward;
decltype(moe::class_token_backward) class_token_backward;
decltype(moe::end_token_forward) end_token_forward;
decltype(moe::end_token_backward) end_token_backward;
}  // namespace cuda

}  // namespace moe
