// Softmax attention, causal or not, softmax(Q K^T / sqrt(d_head)) V, without storing the attention matrix. Forward
// stores one value per query and head (the log-sum-exp), from which backward recomputes the probabilities (Dao et al.,
// 2022).
#pragma once
#include "core/ops/attention_dropout.h"
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// qkv (tokens, layout.width()) -> out (tokens, heads * d_head), logsumexp (tokens, heads) of the scaled scores.
// tokens is a multiple of layout.time; token i of sequence s attends to tokens [0, layout.visible(i, layout.length(s)))
// of it, from the first token of its document on. Backward must get the same dropout as forward.
void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout,
                       const AttentionDropout& dropout = {});
// d_out like out -> d_qkv like qkv, overwritten
void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout, const AttentionDropout& dropout = {});

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::attention_forward) attention_forward;
decltype(moe::attention_backward) attention_backward;
}  // namespace cuda

}  // namespace moe
