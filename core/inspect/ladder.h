// Compares methods at several sizes: a folder with one comparison (core/inspect/comparison) for each size.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/comparison.h"
#include "core/inspect/scaling_fit.h"

namespace moe {

// With fewer sizes a curve with a floor is not determined, and with three it has no point left to prove it.
constexpr size_t kSizesForSpeedup = 3, kSizesForFit = 4;

struct LadderSize {
  std::string name;  // of its folder
  Comparison comparison;
  double operations = kAbsent;  // of a run of the baseline
};

// What becomes of a method's advantage when the cost grows.
enum class AdvantageTrend { none, grows, shrinks, undecided };
const char* name_of(AdvantageTrend trend);

struct LadderMethod {
  std::string name;
  struct AtSize {
    const ComparedConfig* config = nullptr;  // null where no run of this size can be compared
    // By the baseline's curve over its sizes; without a value below kSizesForSpeedup.
    EffectiveSpeedup speedup;
  };
  std::vector<AtSize> sizes;  // as in the ladder
  // The change of the difference from the baseline when the cost grows tenfold: for each seed that all sizes have, the
  // slope of the line of least squares over the logarithm of the baseline's cost. Below 0 the advantage grows.
  PairedDifference slope;
  AdvantageTrend trend = AdvantageTrend::none;
  // Losses over the operations of all sizes, with one floor for all methods; scale 0 below kSizesForFit.
  ScalingCurve curve;
};

struct Ladder {
  std::string folder;
  std::vector<LadderSize> sizes;      // by the baseline's operations
  std::vector<LadderMethod> methods;  // the baseline first
  std::string baseline;

  const Quality& judged_by() const { return sizes.front().comparison.judged_by(); }
};

// Reads every folder in `folder` that has runs. All have the same baseline: the requested one, or the first
// configuration of the smallest size. Throws CheckpointError if there are fewer than two sizes, if a size's figure is
// another one, and as compare_folder does.
Ladder read_ladder(const std::string& folder, const ComparisonOptions& options);

// Works out methods, trends and curves of sizes that are in order.
void judge_ladder(Ladder& ladder);

}  // namespace moe
