// Compares settings of a run on a cluster that need not exist: their time, memory and what they lose to communication.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/plan/step_model.h"

namespace moe {

struct PlannedSetting {
  std::string name;  // "with parallel.overlap: 2"
  PlanSetting setting;
  Prediction prediction;  // with several steps of a trace, their mean
  double longest = 0;     // seconds of the longest of these steps
  double bytes = 0;       // of a rank
};

// The experts' shares of the rows, by step and MoE block.
using RoutingTrace = std::vector<std::vector<std::vector<double>>>;

struct PlanRequest {
  const ModelCost& model;
  PlannedStep shape;
  PlannedRanks ranks;
  const NetworkConfig& network;
  PlanSetting setting;                    // of the configuration
  std::vector<int64_t> widths;            // that parallel.expert may have
  std::vector<int64_t> micro_batches{1};  // that train.micro_batches may be
  RoutingTrace trace{};                   // empty: the imbalance of `shape`
  // Bytes of a rank with a setting. Settings that differ only in what does not change memory are asked for once.
  std::function<double(const PlanSetting&)> bytes;
};

struct SettingsPlan {
  PlannedSetting configured;
  std::vector<PlannedSetting> changed;  // one thing is changed in each
  std::optional<PlannedSetting> best;   // the fastest that fits the memory
};

SettingsPlan plan_settings(const PlanRequest& request);

// As keys of a configuration: "parallel.expert: 8, parallel.overlap: 2, ...".
std::string to_words(const PlanSetting& setting);
// A table for a terminal.
std::string to_words(const SettingsPlan& plan, const PlanRequest& request);

// The loads that a run recorded in metrics.jsonl, of its last steps; or those of the steps that the run in the folder
// `path` traced (trace.every). Throws DataError for a path without loads, or with another number of experts than
// `experts`.
RoutingTrace read_routing_trace(const std::string& path, int64_t experts);

}  // namespace moe
