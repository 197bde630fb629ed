// Softmax over a part of each token's experts: those that it chose, or those that it did not.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// logits (tokens, experts), f32 at least, indices (tokens, k) i32, -1 for an empty slot -> probabilities (tokens,
// experts): the softmax over the experts in indices (`chosen`) or over all others, 0 elsewhere; logsumexp (tokens) over
// the same experts. Where there are none, or their logits are all -inf, both are 0.
void subset_softmax(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits, ConstTensor indices,
                    bool chosen);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::subset_softmax) subset_softmax;
}  // namespace cuda

}  // namespace moe
