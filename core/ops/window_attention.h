// Causal softmax attention through a sliding window that reaches into a memory of what came before the sequence, with
// learned relative positions or without: score(i, j) = (q_i . k_j + q_i . p_{i - j}) / sqrt(d_head). Like attention.h
// it keeps the log-sum-exp of each query and head, and backward recomputes the probabilities. The positions are those
// of Sukhbaatar et al., "Adaptive Attention Span in Transformers", 2019, with a span that is not learned.
#pragma once
#include "core/ops/attention_dropout.h"
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// A query at place i of its sequence sees the places [i - size, i], as far as they are there: places below 0 are in the
// memory, of which `filled` positions hold something.
struct AttentionWindow {
  int64_t size = 0;    // earlier positions that a query sees at most: positions of the memory
  int64_t filled = 0;  // positions that precede each sequence, at most `size`
  bool itself = true;  // the query's own place is seen too

  MOE_HOST_DEVICE int64_t first_seen(int64_t query) const { return query - size > -filled ? query - size : -filled; }
  MOE_HOST_DEVICE int64_t end_seen(int64_t query) const { return itself ? query + 1 : query; }
};

// qkv (tokens, layout.width()), memory (sequences, window.size, layout.memory_width()) of keys and values beside each
// other, of which the last window.filled positions are read; absent when there are none. positions (window.size,
// d_head): row n - 1 is the distance n, the place itself has none; absent for no positions.
// -> out (tokens, heads * d_head), 0 where nothing is seen; logsumexp (tokens, heads) of the scaled scores, 0 likewise.
void window_attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, ConstTensor memory,
                              ConstTensor positions, const AttentionLayout& layout, const AttentionWindow& window,
                              const AttentionDropout& dropout = {});
// d_out like out -> d_qkv like qkv, overwritten; d_positions like positions, wide, added to. The memory has no
// gradient.
void window_attention_backward(Context& ctx, Tensor d_qkv, Tensor d_positions, ConstTensor d_out, ConstTensor qkv,
                               ConstTensor memory, ConstTensor positions, ConstTensor out, ConstTensor logsumexp,
                               const AttentionLayout& layout, const AttentionWindow& window,
                               const AttentionDropout& dropout = {});

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::window_attention_forward) window_attention_forward;
decltype(moe::window_attention_backward) window_attention_backward;
}  // namespace cuda

}  // namespace moe
