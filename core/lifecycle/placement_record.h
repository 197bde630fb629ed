// Reports on experts that were placed again (parallel.placement): a line for the console, and a metrics.jsonl record.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/lifecycle/expert_placement.h"

namespace moe {

struct PlacementOutcome {
  std::string kind;
  int64_t updates = 0;  // that were measured
  std::vector<LayerPlacement> layers;
  bool counts_pairs = false, replicates = false;
  double seconds = 0;  // duration of choosing and moving
};

std::string to_words(const PlacementOutcome& outcome, int64_t step);
Json to_json(const PlacementOutcome& outcome);

}  // namespace moe
