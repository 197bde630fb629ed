#include "core/inspect/effective_speedup.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <vector>

#include "core/inspect/cost_curve.h"
#include "core/inspect/resampling.h"

namespace moe {
namespace {

// The seeds that all costs and the method have.
std::vector<int64_t> common_seeds(std::span<const CostedRuns> baseline, const CostedRuns& method) {
  std::vector<int64_t> seeds;
  for (const auto& [seed, loss] : method.loss_of_seed) {
    if (std::all_of(baseline.begin(), baseline.end(),
                    [seed = seed](const CostedRuns& runs) { return runs.loss_of_seed.contains(seed); }))
      seeds.push_back(seed);
  }
  return seeds;
}

double mean_loss(const CostedRuns& runs, std::span<const int64_t> seeds) {
  double sum = 0;
  for (const int64_t seed : seeds) sum += runs.loss_of_seed.at(seed);
  return sum / static_cast<double>(seeds.size());
}

double speedup(std::span<const CostedRuns> baseline, const CostedRuns& method, std::span<const int64_t> seeds) {
  std::vector<ScalingPoint> points;
  for (const CostedRuns& runs : baseline) points.push_back({runs.cost, mean_loss(runs, seeds)});
  const CostCurve curve = fit_cost_curve(points);
  return curve.falls() ? curve.cost(mean_loss(method, seeds)) / method.cost : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

EffectiveSpeedup effective_speedup(std::span<const CostedRuns> baseline, const CostedRuns& method) {
  EffectiveSpeedup result;
  std::set<double> costs;
  for (const CostedRuns& runs : baseline) costs.insert(runs.cost);
  const std::vector<int64_t> seeds = common_seeds(baseline, method);
  result.seeds = std::ssize(seeds);
  if (costs.size() < 2 || seeds.empty()) return result;
  result.value = speedup(baseline, method, seeds);
  const double loss = mean_loss(method, seeds);
  bool above = false, below = false;
  for (const CostedRuns& runs : baseline) {
    above = above || mean_loss(runs, seeds) >= loss;
    below = below || mean_loss(runs, seeds) <= loss;
  }
  result.extrapolated = !(above && below);
  if (result.seeds < kSeedsForInterval) return result;
  std::tie(result.low, result.high) = resampled_interval(kResamplings, seeds.size(), [&](const Resample& resample) {
    std::vector<int64_t> drawn;
    for (const size_t i : resample) drawn.push_back(seeds[i]);
    return speedup(baseline, method, drawn);
  });
  return result;
}

}  // namespace moe
