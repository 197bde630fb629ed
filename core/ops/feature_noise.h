// A noisy copy of tokens with noise of the size of the features' variation (S2MoE, arXiv 2503.23007): x_hat = n1 * x +
// n2 with n1 ~ N(1, deviation^2) and n2 ~ N(mean, deviation^2), feature by feature. No gradient flows through mean and
// deviation.
#pragma once
#include "core/tensor/context.h"

namespace moe {

enum class NoiseStatistics {
  sequence,  // over all tokens of the sequence: a token's noise depends on later tokens
  causal,    // over the tokens up to and including the current one
};

// x (sequences * time, d) -> mean and deviation (sequences * time, d), over the first `lengths` (sequences) i32 tokens
// of each sequence, or over all tokens without `lengths`. The padding after them gets the statistics of the last of
// these tokens.
void feature_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor x, ConstTensor lengths, int64_t time,
                        NoiseStatistics statistics);

// x (tokens, d), mean and deviation (tokens, d), or (1, d) for all tokens -> x_hat and gain = n1 (tokens, d). The noise
// of row t is a function of (key, first_token + t).
void feature_noise_forward(Context& ctx, Tensor x_hat, Tensor gain, ConstTensor x, ConstTensor mean,
                           ConstTensor deviation, const RandomKey& key, int64_t first_token);
// d_x_hat (tokens, d) -> d_x (tokens, d), added to
void feature_noise_backward(Context& ctx, Tensor d_x, ConstTensor d_x_hat, ConstTensor gain);

// Running statistics. x (tokens, d) -> sums (2 d + 1) f64, added to: sums of the features, sums of their squares, and
// the number of tokens, padding excluded.
void moment_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets);
// The step's sums over all ranks -> state (2 d + 1), moving averages of the means, of the mean squares and of the
// constant 1
void update_moments(Context& ctx, Tensor state, ConstTensor sums, double decay);
// state -> mean and deviation (1, d), zeros before the first update
void moments_to_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor state);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::feature_statistics) feature_statistics;
decltype(moe::feature_noise_forward) feature_noise_forward;
decltype(moe::feature_noise_backward) feature_noise_backward;
decltype(moe::moment_sums) moment_sums;
decltype(moe::update_moments) update_moments;
decltype(moe::moments_to_statistics) moments_to_statistics;
}  // namespace cuda

}  // namespace moe
