// What a model costs: parameters and useful floating-point operations, from the configuration alone.
#pragma once
#include "core/config/model_config.h"
#include "core/config/moe_config.h"

namespace moe {

struct ModelSummary {
  int64_t parameters = 0;         // all of them, over all ranks
  int64_t active_parameters = 0;  // that one token meets: k of the experts
  int64_t expert_parameters = 0;  // of the routed experts
  // Useful operations of a training step, forward and backward, per token: 6 per active matrix element (the head once,
  // the embedding's lookup not at all) and the causal half of attention (12 * layers * width * context / 2).
  double flops_per_token = 0;
};

// `k`: experts per token of the configured router.
ModelSummary summarise(const ModelConfig& model, const MoEConfig& moe, int64_t vocab, int64_t context, int64_t k);

}  // namespace moe
