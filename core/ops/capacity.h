// A bound on the rows that an expert takes from a group of tokens: which assignments are kept, where the weights of
// dropped ones go, and the losses of the tokens affected. An assignment is a slot (token, j) that names an expert.
#pragma once
#include "core/ops/token_groups.h"
#include "core/tensor/context.h"

namespace moe {

// Priority of assignments for an expert's places. Ties of `score` go to the earlier token.
enum class DropRule {
  position,  // first choices before second choices, earlier tokens before later ones (GShard, Switch)
  score,     // larger weights; NaN last
};

// In every group each expert keeps as many of its assignments as it has places. Padding only gets places that no token
// takes, and is not counted. indices (tokens, k) i32, weights (tokens, k) -> kept (tokens, k) i32: indices, -1 for
// dropped ones; demand (groups, experts) i32: assignments before any was dropped; lost (tokens) i32: assignments that
// each token lost, added to. If several slots of a token name the same expert, each is counted.
void limit_assignments(Context& ctx, Tensor kept, Tensor demand, Tensor lost, ConstTensor indices, ConstTensor weights,
                       const TokenGroups& groups, const GroupRoom& room, DropRule rule);

// Distributes the weight of a token's dropped slots over its kept slots: y = w * (sum over all) / (sum over the kept),
// 0 for dropped or empty slots. Weights stay unchanged if the kept ones sum to 0. weights, y (tokens, k); indices, kept
// (tokens, k) i32
void renormalise_after_drop_forward(Context& ctx, Tensor y, ConstTensor weights, ConstTensor indices, ConstTensor kept);
// d_weights (tokens, k): the gradient of y on entry, of the weights on return
void renormalise_after_drop_backward(Context& ctx, Tensor d_weights, ConstTensor weights, ConstTensor indices,
                                     ConstTensor kept);

struct LossByDrops {
  double lost_loss = 0, lost_tokens = 0;  // of predictions that lost an assignment; loss in nats
  double kept_loss = 0, kept_tokens = 0;  // of the others
};
// losses (predictions), targets (predictions) i32, lost (tokens) i32 -> sums over scored predictions, in f64. Each
// prediction has the same number of consecutive tokens, and counts as kept if none of them lost an assignment.
LossByDrops loss_by_drops(Context& ctx, ConstTensor losses, ConstTensor lost, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::limit_assignments) limit_assignments;
decltype(moe::renormalise_after_drop_forward) renormalise_after_drop_forward;
decltype(moe::renormalise_after_drop_backward) renormalise_after_drop_backward;
decltype(moe::loss_by_drops) loss_by_drops;
}  // namespace cuda

}  // namespace moe
