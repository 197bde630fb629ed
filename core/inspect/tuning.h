// What a sweep over a key found for each configuration (scripts/tune), and what it says about a comparison.
#pragma once
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace moe {

struct SweptValue {
  double value = 0;
  double quality = 0;  // mean over the seeds, lower is better; infinite if a seed diverged
};

// Where the best of the values that were tried is among them. At an edge the optimum may lie beyond.
enum class SweepEdge { none, lowest, highest };

struct Optimum {
  double best = 0;                                          // of the values that were tried
  double value = std::numeric_limits<double>::quiet_NaN();  // the minimum; NaN at an edge
  SweepEdge edge = SweepEdge::none;
};

// The minimum of the parabola through the best value and its neighbours, over the logarithm of the value. The best
// value itself where a neighbour diverged or all three are equally good. `values`: ascending, positive, at least one.
Optimum find_optimum(std::span<const SweptValue> values);

// p in value ~ width^-p, from the optima at two widths.
double width_exponent(double width, double optimum, double other_width, double other_optimum);

struct SweptSize {
  std::string name;
  double width = 0;  // model.d_model
  std::vector<SweptValue> values;
  Optimum optimum;
};

// Three values at a third size: the predicted one between its half and its double.
struct SweepCheck {
  SweptSize size;
  double predicted = 0;
  bool holds = false;  // the predicted one is the best
};

// One configuration's key.
struct Sweep {
  std::string config, key;
  std::vector<SweptSize> sizes;    // the two at which all values were tried
  std::optional<double> exponent;  // nothing when an optimum is at an edge
  std::optional<SweepCheck> check;
};

// tune.json. Throws CheckpointError for a damaged or absent file.
std::vector<Sweep> read_tuning(const std::string& file);
Json tuning_json(std::span<const Sweep> sweeps);

// A table for people.
std::string tuning_text(std::span<const Sweep> sweeps);

// A compared configuration: its name, and the values of its keys.
struct TunedConfig {
  std::string name;
  std::map<std::string, std::string> values;
};
// Remarks on configurations that were not tuned, whose best value was at the edge of its sweep, or whose value in the
// comparison is at or beyond the edge.
std::vector<std::string> tuning_notes(std::span<const Sweep> sweeps, std::span<const TunedConfig> configs);

}  // namespace moe
