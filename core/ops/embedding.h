// Looks up rows of a table by token id.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// table (vocab, d), ids (tokens) i32 in [0, vocab) -> y (tokens, d)
void embedding_forward(Context& ctx, Tensor y, ConstTensor table, ConstTensor ids);
// ids (tokens) i32: a token's position in its sequence of `time` tokens, or, with `begins` (tokens) i32, in its
// document, which begins at that place of the sequence; with `starts` (sequences) i32 that much later
void position_ids(Context& ctx, Tensor ids, int64_t time, ConstTensor begins = {}, ConstTensor starts = {});
// d_y (tokens, d), ids (tokens) -> d_table (vocab, d), added to, in the order of the tokens
void embedding_backward(Context& ctx, Tensor d_table, ConstTensor d_y, ConstTensor ids);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::embedding_forward) embedding_forward;
decltype(moe::position_ids) position_ids;
decltype(moe::embedding_backward) embedding_backward;
}  // namespace cuda

}  // namespace moe
