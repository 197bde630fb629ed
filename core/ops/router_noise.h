// Random noise on a router during training. All random numbers are functions of a key and of token indices in the
// step's global batch. They do not depend on the rank layout, and backward draws them again.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (tokens, d) *= U[1 - amplitude, 1 + amplitude], element by element; in place, so backward is the same call on the
// gradient (Fedus et al., 2022).
void jitter(Context& ctx, Tensor x, double amplitude, const RandomKey& key, int64_t first_token);

// logits (tokens, experts): every expert is dropped (its logit set to -inf) with probability `rate`, but at least
// `keep` experts remain in each draw. Tokens [i * tokens_per_draw, (i + 1) * tokens_per_draw) of the global batch share
// a draw.
void drop_experts(Context& ctx, Tensor logits, double rate, int64_t keep, const RandomKey& key, int64_t first_token,
                  int64_t tokens_per_draw);

// clean, raw (tokens, experts) -> deviation = strength * softplus(raw), noisy = clean + deviation * N(0, 1); no noise
// if `key` is null (Shazeer et al., 2017, with a strength of 1).
void noisy_logits_forward(Context& ctx, Tensor noisy, Tensor deviation, ConstTensor clean, ConstTensor raw,
                          double strength, const RandomKey* key, int64_t first_token);
// d_noisy, d_deviation (the gradient of the deviation that does not come through `noisy`) -> d_raw, overwritten. The
// gradient of `clean` is d_noisy.
void noisy_logits_backward(Context& ctx, Tensor d_raw, ConstTensor d_noisy, ConstTensor d_deviation, ConstTensor raw,
                           double strength, const RandomKey* key, int64_t first_token);

// indices, weights (tokens, 2): the second choice is kept with probability min(1, 2 * its weight). Otherwise its slot
// becomes empty and the weight of the first stays unchanged (Lepikhin et al., 2021).
void drop_second(Context& ctx, Tensor indices, Tensor weights, const RandomKey& key, int64_t first_token);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::jitter) jitter;
decltype(moe::drop_experts) drop_experts;
decltype(moe::noisy_logits_forward) noisy_logits_forward;
decltype(moe::noisy_logits_backward) noisy_logits_backward;
decltype(moe::drop_second) drop_second;
}  // namespace cuda

}  // namespace moe
