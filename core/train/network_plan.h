// The part of a dry run that plans a step on a cluster (core/plan).
#pragma once
#include <string>

#include "comm/rank_counts.h"
#include "core/config/train_config.h"

namespace moe {

struct NetworkPlanOptions {
  std::string network;        // a file as core/plan/network.h describes; empty: no plan
  std::string routing_trace;  // metrics.jsonl of a run, whose loads are replayed; empty: `imbalance`
  double imbalance = 1;       // rows of the busiest rank of an expert-parallel group, relative to the mean
};

// A text table for the user. Throws UsageError for a file that cannot be read and DataError for a trace that does not
// fit.
std::string describe_network_plan(const TrainConfig& config, const RankCounts& ranks,
                                  const NetworkPlanOptions& options);

}  // namespace moe
