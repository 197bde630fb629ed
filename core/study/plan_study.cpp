#include "core/study/plan_study.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/statistics.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/inspect/comparison.h"
#include "core/inspect/power.h"
#include "core/study/child_program.h"
#include "core/study/step_times.h"

namespace moe {
namespace {

// What is known of the scatter of differences from the baseline.
struct Scatter {
  double deviation = kAbsent;
  int64_t values = 0;  // from how many, of which degrees of freedom follow
  std::string source;  // for the reader
};

// The deviations of several samples as one, each with its degrees of freedom.
Scatter pooled(const std::vector<std::pair<double, int64_t>>& samples, const std::string& source) {
  double squares = 0;
  int64_t degrees = 0;
  for (const auto& [deviation, count] : samples) {
    squares += deviation * deviation * static_cast<double>(count - 1);
    degrees += count - 1;
  }
  return {std::sqrt(squares / static_cast<double>(degrees)), degrees + 1, source};
}

// The deviation of the paired differences; nothing below two pairs.
std::optional<Scatter> paired_scatter(const Comparison& c) {
  std::vector<std::pair<double, int64_t>> samples;
  std::vector<std::string> names;
  for (size_t i = 0; i < c.configs.size(); ++i) {
    const std::vector<double>& differences = c.configs[i].difference.differences;
    if (i == c.baseline || differences.size() < 2) continue;
    samples.emplace_back(standard_deviation(differences), std::ssize(differences));
    names.push_back(c.configs[i].name);
  }
  if (samples.empty()) return std::nullopt;
  return pooled(samples, fmt::format("paired differences of {}", join(names, ", ")));
}

// The deviation of seeds, of all configurations; nothing where none has two.
std::optional<Scatter> seed_scatter(const Comparison& c) {
  std::vector<std::pair<double, int64_t>> samples;
  for (const ComparedConfig& config : c.configs) {
    if (config.runs.size() >= 2)
      samples.emplace_back(config.deviation_of(&ComparedRun::quality), std::ssize(config.runs));
  }
  if (samples.empty()) return std::nullopt;
  return pooled(samples, "seeds of one configuration");
}

std::optional<Comparison> comparison_in(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  try {
    return compare_folder(folder, {});
  } catch (const CheckpointError&) {
    return std::nullopt;  // no run can be compared yet
  }
}

class Plan {
 public:
  Plan(const CompareOptions& options, double difference)
      : options_(options), difference_(difference), comparison_(comparison_in(options.folder)) {
    if (options.folder.empty()) throw UsageError("no folder of runs; give -o DIR");
    if (options.configs.size() < 2) throw UsageError("a plan is for at least two configurations, the baseline first");
    whole_numbers(options.seeds, "-s");
    for (const StudyConfig& config : options.configs) {
      StudyConfig whole{config.name, {options.base, options.settings}};
      for (const std::string& file : config.layers.files) whole.layers.files.push_back(file);
      configs_.push_back({config.name, whole.layers.with(config.layers.settings)});
      costs_.push_back(cost_of(configs_.back().layers.read()));
    }
  }

  int run() {
    const Scatter scatter = find_scatter();
    if (!(scatter.deviation > 0))
      throw UsageError("the runs that are there do not scatter: nothing can be planned from them");
    const StudySignals signals;
    if (!find_times()) return 128 + StudySignals::received();
    fix_steps();
    print(scatter);
    return 0;
  }

 private:
  Scatter find_scatter() const {
    if (comparison_) {
      if (const auto paired = paired_scatter(*comparison_)) return *paired;
      if (auto seeds = seed_scatter(*comparison_)) {
        // The difference of two independent runs.
        seeds->deviation *= std::sqrt(2.0);
        seeds->source += ", times sqrt(2), since there are no pairs";
        return *seeds;
      }
    }
    raise<UsageError>(
        "{} has no two runs whose scatter a plan could start from: train a pilot first, for example three "
        "seeds of all configurations",
        options_.folder);
  }

  const ComparedConfig* compared(const std::string& name) const {
    if (!comparison_) return nullptr;
    const auto it = std::find_if(comparison_->configs.begin(), comparison_->configs.end(),
                                 [&](const ComparedConfig& c) { return c.name == name; });
    return it == comparison_->configs.end() || it->runs.empty() ? nullptr : &*it;
  }

  // The time of a step from runs of this machine, or measured where one configuration has none. False after a signal.
  bool find_times() {
    for (const StudyConfig& config : configs_) {
      const ComparedConfig* found = compared(config.name);
      const bool is_here = found && std::all_of(found->runs.begin(), found->runs.end(), [](const ComparedRun* run) {
                             return run->machine.starts_with(host_name() + ", ") && !std::isnan(run->milliseconds);
                           });
      if (!is_here) return measure();
      milliseconds_[config.name] = found->mean_of(&ComparedRun::milliseconds);
    }
    return true;
  }

  bool measure() {
    const auto seeds = whole_numbers(options_.seeds, "-s");
    const std::string folder = options_.folder + "/study/plan-" + std::to_string(::getpid());
    const auto times = measure_step_times(configs_, folder, options_.ranks, seeds.empty() ? "1" : seeds[0]);
    if (!times) return false;
    milliseconds_ = times->milliseconds;
    return true;
  }

  // The steps of every configuration, as the comparison would fix them.
  void fix_steps() {
    const StudyCosts fixed = read_study_costs(options_.folder);
    const EqualCost equal = options_.equal.empty() ? fixed.equal : equal_cost_of(options_.equal);
    const ConfigCost& base = costs_[0];
    for (size_t i = 0; i < configs_.size(); ++i) {
      int64_t steps = costs_[i].steps;
      if (i > 0 && equal == EqualCost::flops) {
        steps = steps_of_equal_cost(base.steps, costs_[i].tokens_per_step * costs_[i].flops_per_token /
                                                    (base.tokens_per_step * base.flops_per_token));
      } else if (i > 0 && equal == EqualCost::seconds) {
        steps =
            steps_of_equal_cost(base.steps, milliseconds_.at(configs_[i].name) / milliseconds_.at(configs_[0].name));
      }
      if (const auto it = fixed.configs.find(configs_[i].name); it != fixed.configs.end()) steps = it->second.steps;
      steps_.push_back(steps);
    }
  }

  // Of one seed with all configurations.
  double seconds_of_seed() const {
    double seconds = 0;
    for (size_t i = 0; i < configs_.size(); ++i)
      seconds += static_cast<double>(steps_[i]) * milliseconds_.at(configs_[i].name) / 1e3;
    return seconds;
  }

  void print(const Scatter& scatter) const {
    const auto comparisons = static_cast<double>(configs_.size() - 1);
    const DeviationRange range = deviation_range(scatter.values, kConfidence);
    fmt::print(
        "A difference of {:.4g} is seen (p < {:.2g}, two-sided, paired by seed) with a probability of {:.0f} %.\n",
        difference_, kAlpha, 100 * kPower);
    fmt::print("Deviation of a difference: {:.4g} ({}); by {} degrees of freedom it is between {:.4g} and {:.4g}.\n\n",
               scatter.deviation, scatter.source, scatter.values - 1, scatter.deviation * range.low,
               scatter.deviation * range.high);
    fmt::print("{:<6} {:>12} {:>10} {:>6} {:>9}   {}\n", "cost", "tokens/run", "deviation", "seeds",
               fmt::format("of {}", configs_.size() - 1), "time on this machine");
    for (const auto& [multiple, deviation] : deviations(scatter)) {
      const auto alone = pairs_needed(difference_, deviation, kAlpha);
      const auto among = pairs_needed(difference_, deviation, kAlpha / comparisons);
      const double tokens = static_cast<double>(steps_[0]) * costs_[0].tokens_per_step * multiple;
      const std::string time =
          among ? format_seconds(seconds_of_seed() * multiple * static_cast<double>(*among)) : "too long";
      fmt::print("{:<6} {:>12} {:>10.4g} {:>6} {:>9}   {}\n", fmt::format("{:.3g}", multiple), format_count(tokens),
                 deviation, words(alone), words(among), time);
    }
    fmt::print(
        "\nseeds: of each configuration, if it alone is compared with the baseline; of {}: if all are, each at p "
        "below\n"
        "{:.3g} (Holm's correction is less strict for all but the first). cost: multiples of the steps. time: the "
        "steps of\n"
        "those seeds of all {} configurations in one process, without evaluations and checkpoints.\n",
        configs_.size() - 1, kAlpha / comparisons, configs_.size());
  }

  static std::string words(const std::optional<int64_t>& seeds) {
    return seeds ? std::to_string(*seeds) : fmt::format("> {}", kMostPlannedSeeds);
  }

  // The deviation of a difference at each multiple of the cost for which the baseline was trained. For another cost
  // than 1 it is scaled as the deviation of the baseline's seeds.
  std::map<double, double> deviations(const Scatter& scatter) const {
    std::map<double, double> result{{1, scatter.deviation}};
    std::error_code error;
    const double own = deviation_of_baseline(comparison_);
    for (std::filesystem::directory_iterator entry(options_.folder + "/costs", error), end; !error && entry != end;
         entry.increment(error)) {
      const double multiple = std::atof(entry->path().filename().c_str());
      const double there = deviation_of_baseline(comparison_in(entry->path().string()));
      if (multiple > 0 && there / own > 0) result[multiple] = scatter.deviation * there / own;
    }
    return result;
  }

  static double deviation_of_baseline(const std::optional<Comparison>& comparison) {
    return comparison ? comparison->baseline_config().deviation_of(&ComparedRun::quality) : kAbsent;
  }

  const CompareOptions& options_;
  const double difference_;
  const std::optional<Comparison> comparison_;
  std::vector<StudyConfig> configs_;
  std::vector<ConfigCost> costs_;
  std::vector<int64_t> steps_;
  std::map<std::string, double> milliseconds_;
};

}  // namespace

int run_plan(const CompareOptions& options, double difference) {
  return Plan(options, difference).run();
}

}  // namespace moe
