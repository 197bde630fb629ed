// What the router and the strategy of a layer are made with.
#pragma once
#include <memory>
#include <string>

#include "core/base/units.h"
#include "core/config/moe_config.h"
#include "core/moe/measures.h"
#include "core/nn/parameter.h"

namespace moe {

struct LayerSetup {
  ParameterStore& parameters;
  LayerSums& sums;
  MeasureSet& measures;
  const MoEConfig& config;
  std::string name;    // of the layer, the prefix of parameter names
  int layer = 0;       // the block
  int moe_layer = 0;   // its index among the model's MoE layers,
  int moe_layers = 1;  // of which there are so many
  int64_t d_model = 0;
  int64_t experts = 0;  // that the router chooses from
  int64_t vocab = 0;    // token ids are below; 0: tokens have none
  double init_std = 0.02;
  RunLength run{};                   // what schedules are measured against
  bool trains = true;                // else a single expert may well be weighted by a constant
  bool bias = false;                 // of logits
  std::shared_ptr<Router> router{};  // of the layer, where strategies follow each other; absent: to be made
};

// The parameter, as one whose dimension 0 counts the experts.
inline Parameter per_expert(Parameter parameter, PerExpert copies = PerExpert::alike) {
  parameter.per_expert = copies;
  return parameter;
}

// Whether a token's output can depend on tokens that come after it. A language model that does looks at its own
// answers: its loss is no measure of prediction.
enum class Causality {
  causal,    // never
  sequence,  // on later tokens of its own sequence
  batch,     // on any token that the same rank passes through the layer together with it
};
const char* name_of(Causality causality);

}  // namespace moe
