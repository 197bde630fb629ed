// Loads as colours, drawn as inline SVG: blue below the fair share, orange above, a cross for a dead expert.
#pragma once
#include <string>
#include <vector>

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

// Cells in the same colours. `values` (rows, columns) are relative to a fair share; 0 is drawn as no token.
struct CellMap {
  std::string title, note;
  std::vector<std::string> rows, columns;  // names
  std::vector<std::vector<double>> values;
};
std::string draw(const CellMap& map);

// Several small maps of one size in a figure.
struct CellMaps {
  std::string title, note;
  std::vector<std::string> names;                        // of the maps
  std::vector<std::vector<std::vector<double>>> values;  // (maps, rows, columns)
};
std::string draw(const CellMaps& maps);

// The legends of the colours.
std::string load_map_legend();
std::string load_over_time_legend();

}  // namespace moe
