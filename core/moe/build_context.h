// The inputs from which a MoE layer and its parts (router, strategy, capacity) are built.
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "comm/process_groups.h"
#include "core/base/units.h"
#include "core/config/all_to_all.h"
#include "core/config/moe_config.h"
#include "core/moe/measures.h"
#include "core/nn/feed_forward.h"
#include "core/nn/parameter.h"

namespace moe {

struct BuildContext {
  ParameterStore& parameters;
  const ProcessGroups& groups;
  const MoEConfig& moe;       // this layer's configuration
  FeedForwardShape expert{};  // shape of one routed expert, and of each shared one
  double init_std = 0.02;     // for the weights of routers
  bool router_bias = false;   // routers with a weight matrix have a bias on their logits
  int64_t vocab = 0;          // token ids are < vocab; 0: tokens have no ids, or not all of them
  int64_t modalities = 1;     // of the batches (TokenBatch::modalities)
  RunLength run{};            // the run's length, which schedules refer to
  bool trains = true;         // false: a constant weight for a single expert is allowed
  std::string name;           // the layer's name, the prefix of parameter names
  int layer = 0;              // index of the block
  int level = 0;              // of a router that has others of the same layer beside it
  int moe_layer = 0;          // index among the model's MoE layers
  int moe_layers = 1;         // number of MoE layers in the model

  // Experts may leave their contiguous shares (MoELayer::place); the load also counts the tokens that chose two
  // experts.
  bool moves_experts = false, counts_pairs = false;
  // Copies of other ranks' experts that each rank has room for, if experts may move (MoELayer::replicate).
  int64_t replicas = 0;
  // How rows travel between ranks: the number of parts (TokenDispatcher), and whether in two stages where the expert
  // group spans several hosts (HostDispatcher); `automatic`: if tokens choose several experts.
  int64_t overlap = 1;
  AllToAll all_to_all = AllToAll::automatic;
  bool reports_variance = false;  // the variance of chosen experts' outputs is measured

  // Set by the layer for its parts.
  LayerSums* sums = nullptr;
  MeasureSet* measures = nullptr;
  // Sums and measures of the tokens' losses, which are only complete after the backward pass.
  LayerSums* loss_sums = nullptr;
  MeasureSet* loss_measures = nullptr;
  int64_t experts = 0;               // number that the router chooses from
  std::shared_ptr<Router> router{};  // shared by strategies that follow each other; none: the strategy makes its own

  int64_t d_model() const { return expert.d_model; }
  // The layer's number in streams of random numbers; those of different levels do not collide.
  uint32_t random_layer() const { return static_cast<uint32_t>(layer + level * 1024); }
  // Adds a parameter of the router or of the strategy.
  Parameter& add(Parameter parameter) const {
    return parameters.add({ParameterRole::router, layer}, std::move(parameter));
  }
};

// Marks the parameter as one whose dimension 0 counts the experts.
inline Parameter per_expert(Parameter parameter, PerExpert copies = PerExpert::alike) {
  parameter.per_expert = copies;
  return parameter;
}

}  // namespace moe
