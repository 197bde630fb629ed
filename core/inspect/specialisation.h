// What experts specialise in, from the choices of a text's tokens, each figure beside its value under a random
// permutation of the tokens: what chance gives. Definitions after Muennighoff et al. (2024), OLMoE, where it has them;
// docs/tracing.md has the formulas.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "core/trace/step_trace.h"

namespace moe {

// NaN where it is not defined, as for tokens without ids.
struct ChanceFigure {
  double value = std::numeric_limits<double>::quiet_NaN();
  double chance = std::numeric_limits<double>::quiet_NaN();  // with the tokens permuted
};

struct LayerSpecialisation {
  int64_t block = 0;
  // Mean over the ids (ranges of positions, source files, classes of labelled samples) with at least kFewestTokens
  // tokens: the largest share of these tokens that one expert gets.
  ChanceFigure input, next, position, source, label;
  // Half the sum over experts of |load of a retrieved prefix's tokens - load of the window's|.
  ChanceFigure retrieved;
  ChanceFigure coactivation;  // mean over experts a of the largest N(a, b) / N(a) over experts b
  ChanceFigure margin;        // mean over tokens: smallest probability of a chosen expert - largest of another one
  ChanceFigure gate;          // half the sum over experts of |share of the gate weight - share of the assignments|
  ChanceFigure similarity;    // mean over pairs of experts of the linear CKA of their outputs (expert_similarity.h)
  // N(a, b) / N(a): the share of expert a's tokens that also go to b; 1 on the diagonal, 0 for an expert without
  // tokens.
  std::vector<std::vector<double>> coactivation_of;  // (experts, experts)
  std::vector<std::vector<double>> similarity_of;    // (experts, experts): CKA of pairs; empty if it was not measured
  std::vector<std::vector<double>> load_of_part;     // (prefix and window, experts); empty without prefixes
  std::vector<double> load, gate_mass;               // (experts): shares of the assignments and of the gate weight

  static constexpr double kFewestTokens = 10;
  static constexpr int64_t kPositionRanges = 16;
};

// A random order of n tokens, the same each time for a stream.
std::vector<size_t> token_permutation(size_t n, uint32_t stream);

// The figures by their names in reports.
struct SpecialisationFigure {
  const char* name;    // in JSON
  const char* column;  // in a table for a terminal
  const char* title;   // in words
  ChanceFigure LayerSpecialisation::*figure;
};
std::span<const SpecialisationFigure> specialisation_figures();

// The figure `margin` needs the trace's logits.
LayerSpecialisation specialisation_of(const StepTrace& trace, const LayerTrace& layer);

// Router saturation: how many of the final choices an earlier state of the model made.
struct SaturationPoint {
  int64_t step = 0;
  std::vector<ChanceFigure> layers;  // mean over tokens of |S_t and S_T| / |S_T|, T being the last step
};
// Of the tokens that both traces have, by layer of `last`. Layers whose number of experts differs are NaN.
SaturationPoint saturation_of(const StepTrace& trace, const StepTrace& last);
// Of the validation traces of a run (trace.of: validation), at most kMostSaturationSteps of them, evenly spaced; empty
// if there are fewer than two.
inline constexpr int64_t kMostSaturationSteps = 100;
std::vector<SaturationPoint> router_saturation(const std::string& run);

// exp(entropy) / experts of shares that sum to 1: the share of the experts that would carry as much if it were evenly
// spread.
double effective_share(const std::vector<double>& load);

}  // namespace moe
