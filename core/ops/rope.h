// Rotary position embedding (Su et al., 2021) in the rotate-half form: in each query and key head, the pair (j, j +
// r/2) is rotated by position * frequencies.at(j). r = frequencies.dims <= d_head must be even; the other dimensions
// stay unchanged.
#pragma once
#include "core/ops/attention_layout.h"
#include "core/ops/rope_frequencies.h"
#include "core/tensor/context.h"

namespace moe {

// qkv (tokens, layout.width()), in place. The position of a token is its index in its document, which is its
// sequence unless the layout divides that; with starts (sequences) i32, for whole sequences, it is that much later.
void rope_forward(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                  ConstTensor starts = {});
// Applies the inverse rotation to d_qkv, in place.
void rope_backward(Context& ctx, Tensor d_qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::rope_forward) rope_forward;
decltype(moe::rope_backward) rope_backward;
}  // namespace cuda

}  // namespace moe
