// A hand-made inspection, for tests of the reports.
#pragma once
#include <cmath>

#include "core/inspect/inspection.h"

namespace moe {

// Sums of a layer, kept where LoadStats can point to them.
struct Sums {
  std::vector<double> values;
  int64_t experts;

  Sums(const std::vector<double>& counts, const std::vector<double>& importance, const std::vector<double>& probability,
       double entropy, double tokens, const std::vector<double>& dropped = {})
      : experts(static_cast<int64_t>(counts.size())) {
    const std::vector<double> none(counts.size(), 0.0);
    for (const auto& part : {counts, importance, probability, dropped.empty() ? none : dropped, {entropy, tokens}})
      values.insert(values.end(), part.begin(), part.end());
  }
  LoadStats view() { return LoadStats::view(values, experts); }
};

// `layers` layers with `experts` experts, of which the first is dead and the second nearly dead, and a history of ten
// records.
inline Inspection sample_inspection(int64_t layers = 2, int64_t experts = 8) {
  Inspection i;
  i.config.name = "a <b> & \"c\"";
  i.checkpoint = "runs/a <b>/checkpoints/step_00000100";
  i.run = "runs/a <b>";
  i.step = 100;
  i.trained_tokens = 2e5;
  i.sample = 256;
  i.sample.time = i.config.data.sequence;
  i.experts_per_token = 2;
  i.summary.parameters = 1'000'000;
  i.summary.active_parameters = 400'000;
  i.data = "<corpus>";
  i.split = "validation";
  i.evaluation = {2000.0, 1000, 400, 1.0};
  const auto n = static_cast<size_t>(experts);
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<double> counts(n, 100.0);
    counts[0] = 0;
    if (n > 1) counts[1] = 1;
    std::vector<double> dropped(n, 0.0);
    if (layer > 0) dropped[n - 1] = counts[n - 1] / 4;
    Sums sums(counts, counts, std::vector<double>(n, 10.0), 500 * std::log(static_cast<double>(n)), 1000, dropped);
    LayerStats stats = layer_stats(layer, sums.view());
    stats.norms = {std::vector<double>(n, 3.25), std::vector<double>(n, 2.5), std::vector<double>(n, 1.125)};
    stats.balance = {{"switch", 1.5}};
    stats.measures = {{"router_temperature", 0.25}, {"a rather long name of a measure", 1e-9}, {"topk_overlap", 0.5}};
    if (layer > 0) stats.measures.emplace_back("only of some layers", 7);
    i.layers.push_back(stats);
  }
  i.history.found = true;
  for (int64_t step = 10; step <= 100; step += 10) {
    TrainPoint p;
    p.step = step;
    const auto s = static_cast<double>(step);
    p.tokens = 2000 * s;
    p.quality = 2 + 100 / s;
    p.loss = p.quality * std::log(2.0);
    p.norm = 1;
    p.learning_rate = 1e-3;
    p.tokens_per_second = 5000;
    p.router_entropy = 1;
    p.dropped = 0.125;
    p.measures = {{"capacity", 1.25}, {"loss_dropped", 2}, {"loss_kept", 1.5}};
    p.balance["switch"] = 1.2;
    for (const LayerStats& layer : i.layers) p.load.push_back(layer.load);
    i.history.train.push_back(p);
    i.history.evaluations.push_back({step, p.loss, p.quality, p.load});
  }
  return i;
}

}  // namespace moe
