// Softmax attention, causal or not, softmax(Q K^T / sqrt(d_head)) V, without storing the attention matrix: forward
// keeps one number per query and head (the log-sum-exp), backward recomputes the probabilities from it (Dao et al.,
// 2022).
#pragma once
#include "core/ops/attention_dropout.h"
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// qkv (tokens, layout.width()) -> out (tokens, heads * d_head), logsumexp (tokens, heads) of the scaled scores.
// tokens is a multiple of layout.time; token i of sequence s sees tokens [0, layout.visible(i, layout.length(s))) of
// it. Backward gets the dropout that forward had.
void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout,
                       const AttentionDropout& dropout = {});
// d_out like out -> d_qkv like qkv, overwritten
void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout, const AttentionDropout& dropout = {});

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::attention_forward) attention_forward;
decltype(moe::attention_backward) attention_backward;
}  // namespace cuda

}  // namespace moe
