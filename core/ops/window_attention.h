// Causal softmax attention with a sliding window that reaches into a context memory of the tokens before the sequence,
// with or without learned relative positions: score(i, j) = (q_i . k_j + q_i . p_{i - j}) / sqrt(d_head). As in
// attention.h, forward stores the log-sum-exp of each query and head, and backward recomputes the probabilities. The
// relative positions follow Sukhbaatar et al., "Adaptive Attention Span in Transformers", 2019, with a span that is not
// learned.
#pragma once
#include "core/ops/attention_dropout.h"
#include "core/ops/attention_layout.h"
#include "core/ops/attention_window.h"
#include "core/tensor/context.h"

namespace moe {

// qkv (tokens, layout.width()), memory (sequences, window.size, layout.memory_width()): rows of keys followed by
// values, of which the last window.filled positions are read; may be absent if there are none. positions (window.size,
// d_head): row n - 1 belongs to distance n, and distance 0 has none; absent without relative positions.
// -> out (tokens, heads * d_head), 0 for a query without any key; logsumexp (tokens, heads) of the scaled scores, 0
// likewise.
void window_attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, ConstTensor memory,
                              ConstTensor positions, const AttentionLayout& layout, const AttentionWindow& window,
                              const AttentionDropout& dropout = {});
// d_out like out -> d_qkv like qkv, overwritten; d_positions like positions, wide, added to. The memory gets no
// gradient.
void window_attention_backward(Context& ctx, Tensor d_qkv, Tensor d_positions, ConstTensor d_out, ConstTensor qkv,
                               ConstTensor memory, ConstTensor positions, ConstTensor out, ConstTensor logsumexp,
                               const AttentionLayout& layout, const AttentionWindow& window,
                               const AttentionDropout& dropout = {});

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::window_attention_forward) window_attention_forward;
decltype(moe::window_attention_backward) window_attention_backward;
}  // namespace cuda

}  // namespace moe
