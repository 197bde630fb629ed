// Statistics of one MoE layer's experts over the tokens of an evaluation, and the norms of their weights.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "comm/process_groups.h"
#include "core/moe/moe_layer.h"
#include "core/nn/parameter.h"

namespace moe {

// Frobenius norms, one per expert; a list is empty where the layer has no such weights.
struct WeightNorms {
  std::vector<double> input, output;  // the expert's two matrices
  std::vector<double> router;         // the expert's row of the router
};

struct LayerStats {
  int layer = 0;
  // One entry per expert; each list sums to 1 unless there were no tokens.
  std::vector<double> load;         // share of the assignments
  std::vector<double> importance;   // share of the gate weight
  std::vector<double> probability;  // mean router probability
  std::vector<double> dropped;  // share of all assignments that the expert's capacity dropped; sums to dropped_share
  // (modalities, experts) shares of the assignments of a modality's tokens; empty where there is one modality
  std::vector<std::vector<double>> by_modality{};
  double assignments = 0, tokens = 0;
  double experts_per_token = 0;  // of the trained model in evaluation, on average

  // Entropies are divided by ln(experts): 1 is uniform.
  double router_entropy = 1;  // mean over tokens
  double load_entropy = 1;    // of `load`
  double max_over_mean = 1;
  double min_over_mean = 1;
  double dropped_share = 0;
  double variation = 0;     // standard deviation of the load over its mean
  int64_t dead = 0;         // experts without an assignment
  int64_t nearly_dead = 0;  // others with less than kNearlyDead of a fair share
  WeightNorms norms;
  std::vector<std::pair<std::string, double>> balance;   // losses, without their coefficients
  std::vector<std::pair<std::string, double>> measures;  // measures reported by router and strategy, by name

  static constexpr double kNearlyDead = 0.1;
  int64_t experts() const { return static_cast<int64_t>(load.size()); }
  // The load of an expert relative to perfect balance, where each expert has 1.
  double relative_load(size_t expert) const { return load[expert] * static_cast<double>(load.size()); }
  // The dropped share of the expert's assignments.
  double dropped_of(size_t expert) const { return load[expert] > 0 ? dropped[expert] / load[expert] : 0; }
};

// Formats a relative load in at most three columns: 0, ~0, .04, 1.4, 12.
std::string short_load(double relative);

// Computed from complete sums; norms and balance losses stay empty.
LayerStats layer_stats(int layer, const LoadStats& sums);

// The norms of a layer's weights. Collective over groups.expert, because other ranks hold other experts.
WeightNorms weight_norms(Context& ctx, const ParameterStore& parameters, const MoELayer& layer,
                         const ProcessGroups& groups);

}  // namespace moe
