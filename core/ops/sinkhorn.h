// Balanced scores by Sinkhorn's iteration.
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// logits (tokens, experts) -> scores (tokens, experts) = logits + g, where the g of each group of tokens (one per
// expert) is that of exp(logits + f + g) after `iterations` rounds of making its rows sum to 1 and then its columns to
// tokens / experts; padding is of no group. In logarithms, so no logits are too large. An expert that no token may
// choose (-inf) keeps g = 0, and so do all in a group of one token, whose balanced scores would be equal but for
// rounding.
void sinkhorn_scores(Context& ctx, Tensor scores, ConstTensor logits, const TokenGroups& groups, int64_t iterations);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::sinkhorn_scores) sinkhorn_scores;
}  // namespace cuda

}  // namespace moe
