// What a model costs: parameters and useful floating-point operations.
#pragma once
#include "core/model/model.h"

namespace moe {

struct ModelSummary {
  int64_t parameters = 0;         // all of them, over all ranks
  int64_t active_parameters = 0;  // that one token meets at evaluation: k of the experts
  int64_t expert_parameters = 0;  // of the routed experts
  // Useful operations of a training step, forward and backward, per token: 6 per active matrix element (the head for
  // each prediction, look-ups not at all) and attention, 12 * layers * width * time or the causal half of it, or with a
  // memory as many times its positions (half as much more with learned relative ones). The experts count as often as
  // the strategy passes through them.
  double flops_per_token = 0;
};

// Of these operations the part of everything but the routed experts; the same on every rank.
double dense_flops_per_token(const ParameterStore& parameters, const Model& model, int64_t time);

// Of a model that holds all experts on one rank, for samples of `time` tokens.
ModelSummary summarise(const ParameterStore& parameters, const Model& model, int64_t time);

}  // namespace moe
