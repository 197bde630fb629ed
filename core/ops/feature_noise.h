// A noisy copy of tokens, the noise as large as the features vary (S2MoE, arXiv 2503.23007): x_hat = n1 * x + n2 with
// n1 ~ N(1, deviation^2) and n2 ~ N(mean, deviation^2), feature by feature. Mean and deviation are constants of the
// gradient.
#pragma once
#include "core/tensor/context.h"

namespace moe {

enum class NoiseStatistics {
  sequence,  // over all tokens of the sequence: a token's noise tells of later ones
  causal,    // over the tokens up to and with each one
};

// x (sequences * time, d) -> mean and deviation (sequences * time, d), over the first `lengths` (sequences) i32 tokens
// of each sequence, or over all of them without. What follows those, padding, gets the statistics of the last of them.
void feature_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor x, ConstTensor lengths, int64_t time,
                        NoiseStatistics statistics);

// x (tokens, d), mean and deviation (tokens, d) or (1, d) for all tokens -> x_hat and gain = n1 (tokens, d). The noise
// of row t is a function of (key, first_token + t).
void feature_noise_forward(Context& ctx, Tensor x_hat, Tensor gain, ConstTensor x, ConstTensor mean,
                           ConstTensor deviation, const RandomKey& key, int64_t first_token);
// d_x_hat (tokens, d) -> d_x (tokens, d), added to
void feature_noise_backward(Context& ctx, Tensor d_x, ConstTensor d_x_hat, ConstTensor gain);

// Running statistics. x (tokens, d) -> sums (2 d + 1) f64, added to: of the features, of their squares, of tokens that
// are no padding.
void moment_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets);
// The step's sums over all ranks -> state (2 d + 1), a moving average of means, of mean squares and of 1
void update_moments(Context& ctx, Tensor state, ConstTensor sums, double decay);
// state -> mean and deviation (1, d), zeros before the first update
void moments_to_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor state);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::feature_statistics) feature_statistics;
decltype(moe::feature_noise_forward) feature_noise_forward;
decltype(moe::feature_noise_backward) feature_noise_backward;
decltype(moe::moment_sums) moment_sums;
decltype(moe::update_moments) update_moments;
decltype(moe::moments_to_statistics) moments_to_statistics;
}  // namespace cuda

}  // namespace moe
