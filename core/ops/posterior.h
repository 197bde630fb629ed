// A router's logits under a distribution over its matrix: a Gaussian for every weight, of which the logits' means and
// variances follow (the local reparameterisation of Kingma et al., 2015, arXiv 1506.02557), or an ensemble of matrices,
// of which each token takes one. All tensors that count tokens are wide unless said otherwise.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d) -> y (rows, d) = x^2, of the same type
void square_forward(Context& ctx, Tensor y, ConstTensor x);
// d_y (rows, d) -> d_x (rows, d) += 2 x d_y, all of the same type
void square_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x);

// log_deviation (elements) -> variance (elements) = exp(2 log_deviation), of the same type
void variance_forward(Context& ctx, Tensor variance, ConstTensor log_deviation);
// d_variance (elements) wide -> d_log_deviation (elements) wide, added to
void variance_backward(Context& ctx, Tensor d_log_deviation, ConstTensor d_variance, ConstTensor log_deviation);

// logits (tokens, experts): means on entry, plus deviation * N(0, 1) on return; nothing is added without a key.
// variance (tokens, experts) on entry becomes the standard deviation.
void sample_logits_forward(Context& ctx, Tensor logits, Tensor variance, const RandomKey* key, int64_t first_token);
// d_logits -> d_variance (tokens, experts), overwritten; the gradient of the means is d_logits
void sample_logits_backward(Context& ctx, Tensor d_variance, ConstTensor d_logits, ConstTensor deviation,
                            const RandomKey* key, int64_t first_token);

// factor times the sum over all weights of KL(N(mean, deviation^2) || N(0, prior^2)) -> sum (1) f64, added to
void gaussian_kl_sum(Context& ctx, Tensor sum, ConstTensor mean, ConstTensor log_deviation, double prior,
                     double factor);
// The gradients of the same, added to d_mean and d_log_deviation, both wide.
void gaussian_kl_backward(Context& ctx, Tensor d_mean, Tensor d_log_deviation, ConstTensor mean,
                          ConstTensor log_deviation, double prior, double factor);

// How tokens draw a member of the ensemble: tokens [i * tokens_per_draw, (i + 1) * tokens_per_draw) of the global batch
// share a draw. Without a key all members count alike.
struct MemberDraw {
  const RandomKey* key = nullptr;
  int64_t first_token = 0;
  int64_t tokens_per_draw = 1;
};
// all (tokens, experts * members), the logits of expert e by member m in column e * members + m -> logits (tokens,
// experts): those of the drawn member, or their mean; deviation (tokens, experts): of the members' logits
void choose_member_forward(Context& ctx, Tensor logits, Tensor deviation, ConstTensor all, const MemberDraw& draw);
// d_logits -> d_all, overwritten
void choose_member_backward(Context& ctx, Tensor d_all, ConstTensor d_logits, const MemberDraw& draw);

// The mean of a token's chosen experts' deviations (tokens, experts) -> uncertainty (tokens); 0 without an expert.
// indices (tokens, slots) i32
void chosen_deviation(Context& ctx, Tensor uncertainty, ConstTensor deviation, ConstTensor indices);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::square_forward) square_forward;
decltype(moe::square_backward) square_backward;
decltype(moe::variance_forward) variance_forward;
decltype(moe::variance_backward) variance_backward;
decltype(moe::sample_logits_forward) sample_logits_forward;
decltype(moe::sample_logits_backward) sample_logits_backward;
decltype(moe::gaussian_kl_sum) gaussian_kl_sum;
decltype(moe::gaussian_kl_backward) gaussian_kl_backward;
decltype(moe::choose_member_forward) choose_member_forward;
decltype(moe::choose_member_backward) choose_member_backward;
decltype(moe::chosen_deviation) chosen_deviation;
}  // namespace cuda

}  // namespace moe
