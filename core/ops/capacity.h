// A bound on the rows that an expert takes from a group of tokens: which assignments keep their place, what becomes of
// the others' weights, and what it costs the tokens. An assignment is a slot (token, j) that names an expert.
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// Who takes an expert's places first. Ties of `score` go to the earlier token.
enum class DropRule {
  position,  // first choices before second choices, earlier tokens before later ones (GShard, Switch)
  score,     // larger weights; NaN last
};

// In every group each expert keeps as many of its assignments as there is room for. Tokens whose target is
// kIgnoreTarget are padding: they only get places that nobody else wants, and count nowhere. indices (tokens, k) i32,
// weights (tokens, k) -> kept (tokens, k) i32: indices, -1 where there was no place; demand (groups, experts) i32:
// assignments before any was dropped; lost (tokens) i32: assignments that each token lost, added to. Assignments of
// more than one slot of a token to one expert are counted as they are.
void limit_assignments(Context& ctx, Tensor kept, Tensor demand, Tensor lost, ConstTensor indices, ConstTensor weights,
                       ConstTensor targets, const TokenGroups& groups, const GroupRoom& room, DropRule rule);

// The kept slots of a token share what the dropped ones weighed: y = w * (sum over all) / (sum over the kept), 0 where
// dropped or empty; as they are where the kept weigh nothing. weights, y (tokens, k); indices, kept (tokens, k) i32
void hand_over_weights_forward(Context& ctx, Tensor y, ConstTensor weights, ConstTensor indices, ConstTensor kept);
// d_weights (tokens, k): the gradient of y on entry, of the weights on return
void hand_over_weights_backward(Context& ctx, Tensor d_weights, ConstTensor weights, ConstTensor indices,
                                ConstTensor kept);

struct LossByDrops {
  double lost_loss = 0, lost_tokens = 0;  // of predictions that lost an assignment; nats
  double kept_loss = 0, kept_tokens = 0;  // of the others
};
// losses (predictions), targets (predictions) i32, lost (tokens) i32, of which equally many neighbours belong to each
// prediction -> sums over scored predictions, in f64. One that lost nothing is one of whose tokens none did.
LossByDrops loss_by_drops(Context& ctx, ConstTensor losses, ConstTensor lost, ConstTensor targets);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::limit_assignments) limit_assignments;
decltype(moe::hand_over_weights_forward) hand_over_weights_forward;
decltype(moe::hand_over_weights_backward) hand_over_weights_backward;
decltype(moe::loss_by_drops) loss_by_drops;
}  // namespace cuda

}  // namespace moe
