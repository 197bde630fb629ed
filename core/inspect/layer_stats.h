// What one MoE layer's experts did with the tokens of an evaluation, and how large their weights are.
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
  // One entry per expert; each sums to 1 unless no token came by.
  std::vector<double> load;         // share of the assignments
  std::vector<double> importance;   // share of the gate weight
  std::vector<double> probability;  // mean router probability
  std::vector<double> dropped;  // share of all assignments that the expert's capacity dropped; sums to dropped_share
  double assignments = 0, tokens = 0;
  double experts_per_token = 0;  // at evaluation of the trained model, on average

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
  std::vector<std::pair<std::string, double>> measures;  // what router and strategy tell of themselves, by name

  static constexpr double kNearlyDead = 0.1;
  int64_t experts() const { return static_cast<int64_t>(load.size()); }
  // The load of an expert where 1 is what each has at perfect balance.
  double relative_load(size_t expert) const { return load[expert] * static_cast<double>(load.size()); }
  // Of the expert's assignments, the share that was dropped.
  double dropped_of(size_t expert) const { return load[expert] > 0 ? dropped[expert] / load[expert] : 0; }
};

// A relative load in at most three columns: 0, ~0, .04, 1.4, 12.
std::string short_load(double relative);

// From complete sums; norms and balance losses stay empty.
LayerStats layer_stats(int layer, const LoadStats& sums);

// The norms of a layer's weights. Collective over groups.expert: other ranks hold other experts.
WeightNorms weight_norms(Context& ctx, const ParameterStore& parameters, const MoELayer& layer,
                         const ProcessGroups& groups);

}  // namespace moe
