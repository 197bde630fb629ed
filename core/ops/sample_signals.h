// What a step tells of each of its samples, for the curriculum. A sample is a sequence of `time` tokens; tokens whose
// target is kIgnoreTarget are padding and count for nothing.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// Sums over the passes of all MoE layers, each (tokens) and wide; absent where nobody asked.
struct RoutingSignals {
  Tensor router_entropy{}, expert_variance{};
  int64_t passes = 0;
};

// probabilities (tokens, experts) -> sums (tokens): the entropy of each row in nats, added to
void add_router_entropy(Context& ctx, Tensor sums, ConstTensor probabilities);
// rows (rows, d): experts' outputs; position (tokens, k) i32: each slot's row, -1 for none -> sums (tokens): the
// variance among a token's rows, mean over d, added to; 0 of fewer than two rows
void add_expert_variance(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position);

struct TokenSignals {
  ConstTensor losses;                 // (tokens)
  ConstTensor entropy{}, residual{};  // (tokens) of cross_entropy, or none
  ConstTensor hidden{};               // (tokens, d): what the logits were made from; with residual
  RoutingSignals routing{};
};
// -> signals (sequences, 6) wide: means over each sequence's scored tokens of loss, 1 - e^-loss, entropy and mean
// variance, the root mean square of residual |hidden|, and the mean router entropy, in the order of SampleSignal; 0 for
// what is absent. A token's gradient at the output head has the norm residual |hidden|: the root mean square bounds
// that of the sample's mean gradient there, and is in proportion to it where the tokens' gradients have nothing to do
// with each other. Katharopoulos and Fleuret, "Not all samples are created equal", 2018, argue for the rest of a
// network.
void sample_signals(Context& ctx, Tensor signals, const TokenSignals& tokens, ConstTensor targets, int64_t time);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::add_router_entropy) add_router_entropy;
decltype(moe::add_expert_variance) add_expert_variance;
decltype(moe::sample_signals) sample_signals;
}  // namespace cuda

}  // namespace moe
