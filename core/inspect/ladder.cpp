#include "core/inspect/ladder.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <system_error>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "core/base/statistics.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

const ComparedConfig* config_called(const Comparison& c, const std::string& name) {
  for (const ComparedConfig& config : c.configs) {
    if (config.name == name && !config.runs.empty()) return &config;
  }
  return nullptr;
}

double operations_of(const ComparedConfig& config) {
  return config.mean_of(&ComparedRun::flops_per_token) * config.runs.front()->tokens();
}

CostedRuns costed(const ComparedConfig& config) {
  CostedRuns runs{.cost = operations_of(config), .loss_of_seed = {}};
  for (const ComparedRun* run : config.runs) runs.loss_of_seed[run->seed] = run->quality;
  return runs;
}

double slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  double products = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    products += (x[i] - mean(x)) * (y[i] - mean(y));
    squares += (x[i] - mean(x)) * (x[i] - mean(x));
  }
  return products / squares;
}

// The slope of each seed that the method and the baseline have at all sizes.
PairedDifference slope_by_seed(const Ladder& ladder, const LadderMethod& method) {
  std::vector<double> x;
  std::map<int64_t, std::vector<double>> differences;
  for (size_t i = 0; i < ladder.sizes.size(); ++i) {
    const ComparedConfig* config = method.sizes[i].config;
    if (!config) return paired_difference({});
    x.push_back(std::log10(ladder.sizes[i].operations));
    for (size_t k = 0; k < config->paired_seeds.size(); ++k)
      differences[config->paired_seeds[k]].push_back(config->difference.differences[k]);
  }
  std::vector<double> by_seed;
  for (const auto& [seed, values] : differences) {
    if (values.size() == x.size()) by_seed.push_back(slope_of(x, values));
  }
  return paired_difference(std::move(by_seed));
}

AdvantageTrend trend_of(const PairedDifference& slope) {
  if (!slope.has_interval()) return AdvantageTrend::none;
  if (!slope.excludes_zero()) return AdvantageTrend::undecided;
  return slope.mean < 0 ? AdvantageTrend::grows : AdvantageTrend::shrinks;
}

// The curve of every method that was trained at all sizes.
void fit_curves(Ladder& ladder) {
  std::vector<std::vector<ScalingPoint>> points;
  std::vector<LadderMethod*> fitted;
  for (LadderMethod& method : ladder.methods) {
    std::vector<ScalingPoint> of_method;
    for (const LadderMethod::AtSize& at : method.sizes) {
      if (!at.config) continue;
      of_method.push_back({operations_of(*at.config), at.config->mean_of(&ComparedRun::quality),
                           static_cast<double>(at.config->runs.size())});
    }
    if (of_method.size() < ladder.sizes.size()) continue;
    points.push_back(std::move(of_method));
    fitted.push_back(&method);
  }
  const std::vector<ScalingCurve> curves = fit_scaling_together(points);
  for (size_t i = 0; i < fitted.size(); ++i) fitted[i]->curve = curves[i];
}

void judge_method(const Ladder& ladder, const std::vector<CostedRuns>& baseline, LadderMethod& method) {
  method.slope = slope_by_seed(ladder, method);
  method.trend = trend_of(method.slope);
  if (baseline.size() < kSizesForSpeedup) return;
  for (LadderMethod::AtSize& at : method.sizes) {
    if (at.config) at.speedup = effective_speedup(baseline, costed(*at.config));
  }
}

}  // namespace

const char* name_of(AdvantageTrend trend) {
  static constexpr const char* kNames[] = {"-", "grows", "shrinks", "not decided"};
  return kNames[as_index(trend)];
}

void judge_ladder(Ladder& ladder) {
  std::vector<std::string> names{ladder.baseline};
  for (const LadderSize& size : ladder.sizes) {
    for (const ComparedConfig& config : size.comparison.configs) {
      if (std::find(names.begin(), names.end(), config.name) == names.end()) names.push_back(config.name);
    }
  }
  std::vector<CostedRuns> baseline;
  for (const LadderSize& size : ladder.sizes) baseline.push_back(costed(size.comparison.baseline_config()));
  for (const std::string& name : names) {
    LadderMethod method{.name = name, .sizes = {}, .slope = {}, .curve = {}};
    for (const LadderSize& size : ladder.sizes)
      method.sizes.push_back({.config = config_called(size.comparison, name), .speedup = {}});
    if (name != ladder.baseline) judge_method(ladder, baseline, method);
    ladder.methods.push_back(std::move(method));
  }
  if (ladder.sizes.size() >= kSizesForFit) fit_curves(ladder);
}

Ladder read_ladder(const std::string& folder, const ComparisonOptions& options) {
  Ladder ladder{.folder = folder, .sizes = {}, .methods = {}, .baseline = options.baseline};
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory() && fs::exists(entry.path() / "configs.txt")) names.push_back(entry.path().filename());
  }
  if (error) raise<CheckpointError>("cannot read the folder {}: {}", folder, error.message());
  if (names.size() < 2)
    raise<CheckpointError>(
        "{} holds {} comparison{}, but a ladder needs at least two sizes (scripts/ladder makes them)", folder,
        names.size(), names.size() == 1 ? "" : "s");
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    LadderSize size{.name = name, .comparison = compare_folder(folder + "/" + name, options)};
    size.operations = operations_of(size.comparison.baseline_config());
    if (std::isnan(size.operations))
      raise<CheckpointError>("{}: the operations of {} are unknown", name, size.comparison.reference().name);
    ladder.sizes.push_back(std::move(size));
  }
  std::stable_sort(ladder.sizes.begin(), ladder.sizes.end(),
                   [](const LadderSize& a, const LadderSize& b) { return a.operations < b.operations; });
  for (const LadderSize& size : ladder.sizes) {
    const std::string& baseline = size.comparison.baseline_config().name;
    if (ladder.baseline.empty()) ladder.baseline = baseline;
    if (baseline != ladder.baseline)
      raise<CheckpointError>("the baseline of {} is {} and that of {} is {}: give one with --baseline",
                             ladder.sizes.front().name, ladder.baseline, size.name, baseline);
    if (size.comparison.judged_by().key != ladder.judged_by().key)
      raise<CheckpointError>("{} is judged by {} and {} by {}", ladder.sizes.front().name, ladder.judged_by().name,
                             size.name, size.comparison.judged_by().name);
  }
  judge_ladder(ladder);
  return ladder;
}

}  // namespace moe
