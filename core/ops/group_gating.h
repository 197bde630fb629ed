// Two levels of choice: first groups of neighbouring experts, then experts within them. Group g of n contains the
// experts
// [g * experts / n, (g + 1) * experts / n).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// outer (tokens, groups), inner (tokens, experts) -> logits (tokens, experts) = outer of the group + inner - logsumexp
// of inner over the group, so that softmax(logits) = softmax(outer) * softmax(inner within the group)
void group_logits_forward(Context& ctx, Tensor logits, ConstTensor outer, ConstTensor inner);
// d_logits (tokens, experts) -> d_outer, d_inner, overwritten
void group_logits_backward(Context& ctx, Tensor d_outer, Tensor d_inner, ConstTensor d_logits, ConstTensor inner);

// chosen_groups (tokens, g) i32, scores (tokens, experts) -> indices (tokens, g * k) i32: the k experts with the
// largest scores in each chosen group, ties to the smaller index, NaN last
void select_within_groups(Context& ctx, Tensor indices, ConstTensor chosen_groups, ConstTensor scores, int64_t groups,
                          int64_t k);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::group_logits_forward) group_logits_forward;
decltype(moe::group_logits_backward) group_logits_backward;
decltype(moe::select_within_groups) select_within_groups;
}  // namespace cuda

}  // namespace moe
