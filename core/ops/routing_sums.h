// Sums over tokens of a router's results, and the gradients of functions of these sums. They are in f64, so that the
// split of the batch has no visible effect. Tokens whose target is kIgnoreTarget are padding and are excluded. On a
// GPU, sums may be in host or device memory; host sums without a device counterpart cause a synchronisation
// (core/tensor/device_sums.h).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// The number of tokens, padding excluded -> sum (1) f64, added to
void token_sum(Context& ctx, Tensor sum, ConstTensor targets);
// x (tokens, n), targets (tokens) i32 -> sums (n) f64, added to
void column_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets);
// indices (tokens, k) i32 -> counts (experts) f64: assignments per expert, added to; weights (tokens, k), optional ->
// importance (experts) f64: sums of weights, added to
void assignment_sums(Context& ctx, Tensor counts, Tensor importance, ConstTensor indices, ConstTensor weights,
                     ConstTensor targets);
// indices (tokens, k) i32 -> pairs (experts * (experts - 1) / 2) f64: for experts a < b the number of tokens that chose
// both, at index b * (b - 1) / 2 + a, added to
void pair_sums(Context& ctx, Tensor pairs, ConstTensor indices, ConstTensor targets);
// The number of tokens for which each expert has the largest probability, ties to the smaller index -> counts (experts)
// f64, added to
void top1_counts(Context& ctx, Tensor counts, ConstTensor probabilities, ConstTensor targets);
// indices (tokens, k) i32 -> sum (1) f64, added to: the number of slots that hold an expert
void count_assignments(Context& ctx, Tensor sum, ConstTensor indices, ConstTensor targets);
// The sum of the rows' entropies in nats, probabilities (tokens, experts) -> sum (1) f64, added to
void entropy_sum(Context& ctx, Tensor sum, ConstTensor probabilities, ConstTensor targets);
// The sum of squares of logsumexp (tokens) -> sum (1) f64, added to
void squared_logsumexp_sum(Context& ctx, Tensor sum, ConstTensor logsumexp, ConstTensor targets);

// L = F(sum over tokens of softmax(z)), gradient (experts) f64 = dF/dsum -> d_logits (tokens, experts), added to
void softmax_sum_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor gradient,
                          ConstTensor targets);
// d_logits (tokens, experts) += factor * the gradient of each row's entropy in nats, probabilities = softmax(logits)
void entropy_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, double factor, ConstTensor targets);
// L = F(sum over tokens of the weights of each expert), gradient (experts) f64 = dF/dsum, indices (tokens, k) i32 ->
// d_weights (tokens, k), added to
void weight_sum_backward(Context& ctx, Tensor d_weights, ConstTensor indices, ConstTensor gradient,
                         ConstTensor targets);
// d_logits += factor * d(logsumexp^2)/dz
void squared_logsumexp_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor logsumexp,
                                double factor, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::token_sum) token_sum;
decltype(moe::column_sums) column_sums;
decltype(moe::assignment_sums) assignment_sums;
decltype(moe::pair_sums) pair_sums;
decltype(moe::entropy_sum) entropy_sum;
decltype(moe::squared_logsumexp_sum) squared_logsumexp_sum;
decltype(moe::softmax_sum_backward) softmax_sum_backward;
decltype(moe::entropy_backward) entropy_backward;
decltype(moe::squared_logsumexp_backward) squared_logsumexp_backward;
decltype(moe::top1_counts) top1_counts;
decltype(moe::count_assignments) count_assignments;
decltype(moe::weight_sum_backward) weight_sum_backward;
}  // namespace cuda

}  // namespace moe
