// The choice of experts as an action that is drawn from the router's probabilities, and the policy gradient (REINFORCE,
// Williams, 1992) of the tokens' losses. All tensors that count tokens are wide.
#pragma once
#include "core/ops/prediction_losses.h"
#include "core/tensor/context.h"

namespace moe {

// logits (tokens, experts) -> scores (tokens, experts): the logits plus noise of the Gumbel distribution. The experts
// with the k largest scores, in descending order, are k draws without replacement, each by the softmax of the logits
// over the experts that are left (Kool et al., 2019, arXiv 1903.06059). -inf stays -inf. The noise of row t is a
// function of (key, first_token + t).
void gumbel_scores(Context& ctx, Tensor scores, ConstTensor logits, const RandomKey& key, int64_t first_token);

// The columns of `terms` of policy_backward().
enum PolicyTerm : int { kPolicyLoss, kBaselineError, kTokenLoss, kSquaredTokenLoss, kJudgedToken, kPolicyTerms };

struct PolicyInput {
  ConstTensor logits;   // (tokens, experts)
  ConstTensor indices;  // (tokens, slots) i32: the experts in the order in which they were drawn, -1 for an empty slot
  ConstTensor learned;  // (tokens, 1): the learned part of the baseline
  ConstTensor moments;  // (3): moving averages of the losses' mean, of their squares and of the constant 1
  ConstTensor targets;  // (tokens) i32: kIgnoreTarget for padding
  const PredictionLosses& losses;
};

// For each token with a loss L: baseline b = moments[0] / moments[2] + learned, advantage A = w (b - L) with the loss's
// weight w, or 0 before the first update of the moments. Nothing is differentiated through A.
//   d_logits (tokens, experts) += policy * the gradient of -A ln p(choice), where p(choice) is the product over the
//     draws of softmax(logits over the experts that are left)
//   d_learned (tokens, 1) = error * the gradient of (b - L)^2
//   terms (tokens, kPolicyTerms) = -A ln p(choice), (b - L)^2, L, L^2, 1
// Tokens without a loss get zeros.
struct PolicyScales {
  double policy, error;
};
void policy_backward(Context& ctx, Tensor d_logits, Tensor d_learned, Tensor terms, const PolicyInput& input,
                     PolicyScales scales);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::gumbel_scores) gumbel_scores;
decltype(moe::policy_backward) policy_backward;
}  // namespace cuda

}  // namespace moe
