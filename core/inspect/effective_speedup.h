// How much cost a method saves: the cost at which the baseline, by its own curve, reaches the method's loss, over the
// method's cost. 1.2: the baseline needs a fifth more (the unit in which Marin's ledger of experiments is kept).
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <span>

namespace moe {

// Runs that differ in their seeds alone.
struct CostedRuns {
  double cost = 0;  // of one run, in any unit: operations
  std::map<int64_t, double> loss_of_seed{};
};

// Two seeds drawn again have three outcomes, which say nothing of the interval.
constexpr int64_t kSeedsForInterval = 3;

struct EffectiveSpeedup {
  // NaN where the baseline has fewer than two costs with a seed that the method has too, or is no better at higher
  // costs. Infinity: the baseline reaches the method's loss at no cost.
  double value = std::numeric_limits<double>::quiet_NaN();
  double low = value, high = value;  // 95 % interval; NaN below kSeedsForInterval
  int64_t seeds = 0;                 // that all costs and the method have
  // Whether the loss is outside of those that the baseline was measured at, so that the curve is continued.
  bool extrapolated = false;
};

// The interval is a bootstrap over the seeds (Efron, 1979): the seeds are drawn again, with all runs of a seed
// together, and the curve is fitted again. It is a percentile interval, which is too narrow for few seeds.
EffectiveSpeedup effective_speedup(std::span<const CostedRuns> baseline, const CostedRuns& method);

}  // namespace moe
