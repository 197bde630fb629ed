// The cost of a model: parameters and useful floating-point operations.
#pragma once
#include "core/model/model.h"

namespace moe {

struct ModelSummary {
  int64_t parameters = 0;         // all parameters, over all ranks
  int64_t active_parameters = 0;  // used by one token at evaluation: k of the experts
  int64_t expert_parameters = 0;  // in the routed experts
  // Useful operations of a training step, forward and backward, per token. 6 per active matrix element (for the head:
  // per prediction; none for look-ups), plus 12 * layers * width * time for attention, half of that if it is causal;
  // with a context memory its positions take the place of time, and learned relative positions add one half. Experts
  // are counted once for each pass that the strategy makes.
  double flops_per_token = 0;
};

// The part of these operations outside of the routed experts; the same on every rank.
double dense_flops_per_token(const ParameterStore& parameters, const Model& model, int64_t time);

// Summary of a model with all experts on one rank, for samples of `time` tokens.
ModelSummary summarise(const ParameterStore& parameters, const Model& model, int64_t time);

}  // namespace moe
