// Signals that a step measures for each of its samples, for the curriculum. A sample is a sequence of `time` tokens;
// tokens whose target is kIgnoreTarget are padding and are excluded.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// Sums over the passes of all MoE layers, each (tokens) and wide; absent if not requested.
struct RoutingSignals {
  Tensor router_entropy{}, expert_variance{}, router_uncertainty{};
  int64_t passes = 0;

  bool any() const { return router_entropy || expert_variance || router_uncertainty; }
};

// probabilities (tokens, experts) -> sums (tokens): adds the entropy of each row in nats
void add_router_entropy(Context& ctx, Tensor sums, ConstTensor probabilities);
// rows (rows, d): experts' outputs; position (tokens, k) i32: each slot's row, -1 for none -> sums (tokens): the
// variance among a token's rows, mean over d, added to; 0 for fewer than two rows
void add_expert_variance(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position);

// The number of signals that sample_signals() computes.
inline constexpr int kNumSignalColumns = 7;

struct TokenSignals {
  ConstTensor losses;                 // (tokens)
  ConstTensor entropy{}, residual{};  // (tokens), from cross_entropy, or none
  ConstTensor hidden{};               // (tokens, d): input of the output head; given if residual is
  RoutingSignals routing{};
};
// -> signals (sequences, kNumSignalColumns) wide: means over each sequence's scored tokens of loss, 1 - e^-loss,
// entropy and mean variance, the root mean square of residual |hidden|, and the mean router entropy and router
// uncertainty, in the order of SampleSignal; 0 for absent inputs. A token's gradient at the output head has the norm
// residual |hidden|. The root mean square is an upper bound of the norm of the sample's mean gradient there, and is
// proportional to it if the tokens' gradients are uncorrelated. For the rest of a network see the argument of
// Katharopoulos and Fleuret, "Not all samples are created equal", 2018.
void sample_signals(Context& ctx, Tensor signals, const TokenSignals& tokens, ConstTensor targets, int64_t time);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::add_router_entropy) add_router_entropy;
decltype(moe::add_expert_variance) add_expert_variance;
decltype(moe::sample_signals) sample_signals;
}  // namespace cuda

}  // namespace moe
