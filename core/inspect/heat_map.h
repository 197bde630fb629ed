// Loads as colours, drawn as inline SVG: blue below the fair share, orange above, a cross for a dead expert.
#pragma once
#include <string>

#include "core/inspect/layer_stats.h"
#include "core/inspect/run_history.h"

namespace moe {

// Layers x experts, at the inspected checkpoint.
std::string draw_load_map(const std::vector<LayerStats>& layers);

// Experts x time for one layer, at the given steps.
struct LoadOverTime {
  std::string title;
  std::vector<double> steps;
  LoadShares loads;  // per step, each expert's share
};
std::string draw(const LoadOverTime& map);

// The legends of the colours.
std::string load_map_legend();
std::string load_over_time_legend();

}  // namespace moe
