// Causal softmax attention of new tokens to themselves and to the tokens before them, whose keys and values are kept in
// a cache: what a model that writes text computes for each token instead of reading the whole text again. It has no
// backward. The CPU's results in f32 are bitwise those of attention.h over the whole sequence.
#pragma once
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// qkv (sequences * layout.time, layout.width()): the new tokens, layout.time of each sequence, with rotated queries and
// keys. rows, starts (sequences) i32: sequence s is row rows[s] of the cache, and its new tokens stand at the positions
// starts[s] + i. No two sequences have the same row.
// cache (rows, positions, layout.memory_width()): the new keys and values are stored in it first, keys before values;
// starts[s] + layout.time <= positions.
// -> out (sequences * layout.time, heads * d_head): token i of s attends to the positions [0, starts[s] + i] of its
// row.
void cached_attention_forward(Context& ctx, Tensor out, Tensor cache, ConstTensor qkv, ConstTensor rows,
                              ConstTensor starts, const AttentionLayout& layout);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::cached_attention_forward) cached_attention_forward;
}  // namespace cuda

}  // namespace moe
