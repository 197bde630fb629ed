// Combines two levels of choice: the groups of experts that a token goes to, and the experts inside each group. A group
// has n experts from `first` on; groups may differ in n.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// The choice inside one group, by a router that was run on every token.
struct GroupChoice {
  ConstTensor logits;     // (tokens, n)
  ConstTensor logsumexp;  // (tokens)
  ConstTensor indices;    // (tokens, k) i32 in [0, n), -1 for none
  ConstTensor weights;    // (tokens, k)
  ConstTensor skip;       // (tokens), or none: weight of the token itself in its output
};

// targets (tokens) i32 -> inside (tokens) i32: the target if the token chose group `group` (choices (tokens, g) i32),
// else kIgnoreTarget, so that tokens that are not routed to the group are not counted
void targets_in_group(Context& ctx, Tensor inside, ConstTensor targets, ConstTensor choices, int64_t group);

// Writes group `group`'s part of the layer's choice: log_probabilities (tokens, experts), columns of the group = ln
// p(group) + ln p(expert | group); indices and weights (tokens, g * m), m >= k, the slots that belong to the choice of
// this group. groups_logits (tokens, groups) and groups_logsumexp (tokens), groups_indices and groups_weights (tokens,
// g): the first level's. Calls for all groups together fill the outputs. skip (tokens) is added to if the inner choice
// has one.
void compose_group(Context& ctx, Tensor log_probabilities, Tensor indices, Tensor weights, Tensor skip, int64_t group,
                   int64_t first, const GroupChoice& groups, const GroupChoice& inner);

// Backward of compose_group. From d_log_probabilities (tokens, experts) and d_weights (tokens, g * m), adds to
// d_inner_logits (tokens, n) and to column `group` of d_group_log_probabilities (tokens, groups), whose softmax
// backward follows after all groups; overwrites d_inner_weights (tokens, k); adds to d_group_weights (tokens, g).
// d_skip (tokens) -> d_inner_skip (tokens), overwritten, if there is one.
void compose_group_backward(Context& ctx, Tensor d_inner_logits, Tensor d_inner_weights, Tensor d_inner_skip,
                            Tensor d_group_log_probabilities, Tensor d_group_weights, ConstTensor d_log_probabilities,
                            ConstTensor d_weights, ConstTensor d_skip, int64_t group, int64_t first,
                            const GroupChoice& groups, const GroupChoice& inner);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::targets_in_group) targets_in_group;
decltype(moe::compose_group) compose_group;
decltype(moe::compose_group_backward) compose_group_backward;
}  // namespace cuda

}  // namespace moe
