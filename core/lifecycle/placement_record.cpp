#include "core/lifecycle/placement_record.h"

#include <algorithm>

#include "core/base/metric_keys.h"

namespace moe {

std::string to_words(const PlacementOutcome& outcome, int64_t step) {
  double before = 1, after = 1, together_before = 0, together_after = 0;
  int64_t moved = 0, experts = 0, copies = 0;
  const auto layers = static_cast<double>(std::max<size_t>(outcome.layers.size(), 1));
  for (const LayerPlacement& l : outcome.layers) {
    before = std::max(before, l.busiest_before);
    after = std::max(after, l.busiest_after);
    together_before += l.together_before / layers;
    together_after += l.together_after / layers;
    moved += l.moved;
    experts += l.experts;
    copies += l.copies;
  }
  std::string line = fmt::format(
      "[placement] step {} | {} | rows of the busiest rank, in the worst layer: {:.3f} -> {:.3f} x the mean", step,
      outcome.kind, before, after);
  if (outcome.counts_pairs)
    line += fmt::format(" | chosen together and on one rank: {:.1f}% -> {:.1f}%", 100 * together_before,
                        100 * together_after);
  line += fmt::format(" | {} of {} experts moved", moved, experts);
  if (outcome.replicates) line += fmt::format(" | {} copies", copies);
  return line + fmt::format(" | {:.0f} ms", 1e3 * outcome.seconds);
}

Json to_json(const PlacementOutcome& outcome) {
  Json layers = Json::array();
  for (const LayerPlacement& l : outcome.layers) {
    Json layer = {{metric_keys::kLayer, l.layer},
                  {metric_keys::kMoved, l.moved},
                  {metric_keys::kBusiestBefore, l.busiest_before},
                  {metric_keys::kBusiestAfter, l.busiest_after}};
    if (outcome.replicates) layer[metric_keys::kCopies] = l.copies;
    if (outcome.counts_pairs) {
      layer[metric_keys::kTogetherBefore] = l.together_before;
      layer[metric_keys::kTogetherAfter] = l.together_after;
    }
    layers.push_back(std::move(layer));
  }
  return {{metric_keys::kKind, outcome.kind},
          {"updates", outcome.updates},
          {metric_keys::kLayers, layers},
          {"seconds", outcome.seconds}};
}

}  // namespace moe
