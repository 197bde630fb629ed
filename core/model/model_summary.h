// What a model costs: parameters and useful floating-point operations.
#pragma once
#include "core/model/language_model.h"

namespace moe {

struct ModelSummary {
  int64_t parameters = 0;         // all of them, over all ranks
  int64_t active_parameters = 0;  // that one token meets at evaluation: k of the experts
  int64_t expert_parameters = 0;  // of the routed experts
  // Useful operations of a training step, forward and backward, per token: 6 per active matrix element (the head once,
  // look-ups not at all) and the causal half of attention (12 * layers * width * context / 2). The experts count as
  // often as the strategy passes through them.
  double flops_per_token = 0;
};

// Of a model that holds all experts on one rank.
ModelSummary summarise(const ParameterStore& parameters, const LanguageModel& model, int64_t context);

}  // namespace moe
