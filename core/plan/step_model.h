// Predicts the time of a training step on a cluster: what is computed, what is sent, and what of it goes on together.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/model/model_cost.h"
#include "core/plan/network.h"

namespace moe {

// The ranks of a plan: equally many on every host.
struct PlannedRanks {
  double ranks = 1, per_host = 1;
};

// What can be chosen for a run without changing what it computes.
struct PlanSetting {
  int64_t expert = 1;                  // parallel.expert
  bool reduce_during_backward = true;  // parallel.reduce_during_backward
  int64_t overlap = 1;                 // parallel.overlap: parts in which a layer's rows are sent and computed
  bool hierarchical = false;           // parallel.all_to_all
  std::string recompute = "none";      // model.recompute
  bool shard = false;                  // optimizer.shard
  int64_t micro_batches = 1;           // train.micro_batches
};

// The rest of a step's shape.
struct PlannedStep {
  double tokens = 0;          // of a rank in an update
  double row_bytes = 4;       // of an element of a row that is sent
  double gradient_bytes = 4;  // of an element of a gradient that is sent
  double bucket = 4e6;        // elements of gradients that are sent together
  // For each MoE block, in order, the rows of the busiest rank relative to the mean; repeated from the beginning if
  // there are more blocks. Empty: 1.
  std::vector<double> imbalance{};
};

// Seconds of a step.
struct Prediction {
  double step = 0;
  double compute = 0;  // of a step whose messages take no time
  double forward = 0, backward = 0;
  double exchange = 0;   // of rows, as far as the step waits for it
  double reduction = 0;  // of gradients after backward
  double update = 0;     // with new weights that are sent
  double lost() const { return step > 0 ? 1 - compute / step : 0; }
};

Prediction predict(const ModelCost& model, const PlannedStep& shape, const PlannedRanks& ranks,
                   const NetworkConfig& network, const PlanSetting& setting);

// Seconds of an exchange among all ranks in which each sends `bytes` in equal parts, its own included, and of a sum of
// tensors of `bytes`.
double exchange_seconds(const NetworkConfig& network, const PlannedRanks& ranks, double bytes);
double sum_seconds(const NetworkConfig& network, const PlannedRanks& ranks, double bytes);

// The rows of the busiest of `ranks` ranks relative to the mean, where each holds its share of the experts in order and
// `shares` are the experts' shares of all rows.
double imbalance_of(const std::vector<double>& shares, int64_t ranks);

}  // namespace moe
