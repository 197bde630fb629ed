// Balances scores by Sinkhorn's iteration.
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// logits (tokens, experts) -> scores (tokens, experts) = logits + g. Each group of tokens has one g per expert, found
// by `iterations` rounds that scale exp(logits + f + g) so that its rows sum to 1 and then its columns to tokens /
// experts. Padding belongs to no group. The computation is in logarithms, so logits of any size are safe. g = 0 for an
// expert that no token may choose (-inf), and for all experts in a group of one token, whose balanced scores would be
// equal up to rounding.
void sinkhorn_scores(Context& ctx, Tensor scores, ConstTensor logits, const TokenGroups& groups, int64_t iterations);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::sinkhorn_scores) sinkhorn_scores;
}  // namespace cuda

}  // namespace moe
