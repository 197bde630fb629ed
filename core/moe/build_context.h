// What a MoE layer and its parts (router, strategy, capacity) are built with.
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "comm/process_groups.h"
#include "core/base/units.h"
#include "core/config/moe_config.h"
#include "core/moe/measures.h"
#include "core/nn/feed_forward.h"
#include "core/nn/parameter.h"

namespace moe {

struct BuildContext {
  ParameterStore& parameters;
  const ProcessGroups& groups;
  const MoEConfig& moe;       // the layer's own
  FeedForwardShape expert{};  // of one routed expert, and of each shared one
  double init_std = 0.02;     // of routers
  int64_t vocab = 0;          // token ids are below; 0: tokens have none
  RunLength run{};            // what schedules are measured against
  bool trains = true;         // else a single expert may well be weighted by a constant
  std::string name;           // of the layer, the prefix of parameter names
  int layer = 0;              // the block
  int moe_layer = 0;          // its index among the model's MoE layers,
  int moe_layers = 1;         // and their number

  // What the layer adds for its parts.
  LayerSums* sums = nullptr;
  MeasureSet* measures = nullptr;
  int64_t experts = 0;               // that the router chooses from
  std::shared_ptr<Router> router{};  // of the layer, where strategies follow each other; absent: to be made

  int64_t d_model() const { return expert.d_model; }
  bool bias() const { return expert.bias; }
  // Adds a parameter of the router or of the strategy.
  Parameter& add(Parameter parameter) const {
    return parameters.add({ParameterRole::router, layer}, std::move(parameter));
  }
};

// The parameter, as one whose dimension 0 counts the experts.
inline Parameter per_expert(Parameter parameter, PerExpert copies = PerExpert::alike) {
  parameter.per_expert = copies;
  return parameter;
}

}  // namespace moe
