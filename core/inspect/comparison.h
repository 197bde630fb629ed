// Compares runs of several configurations with the same seeds. Runs whose comparison would be unfair are left out.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/inspect/compared_run.h"
#include "core/inspect/effective_speedup.h"
#include "core/inspect/equal_cost.h"
#include "core/inspect/paired_difference.h"
#include "core/inspect/text_variation.h"
#include "core/inspect/verdict.h"
#include "core/record/run_folder.h"

namespace moe {

struct ComparisonOptions {
  ComparedAt at = ComparedAt::last;
  std::string baseline;  // empty = the first configuration with a run that can be compared
  double margin = 0;     // differences below it are called equivalent; 0: none is
  StudyCosts costs{};    // what the runs have in common; compare_folder() reads it
};

// One configuration: the fair runs of all its seeds.
struct ComparedConfig {
  std::string name;
  std::vector<const ComparedRun*> runs;  // by seed
  std::vector<int64_t> paired_seeds;     // seeds that the baseline has too
  std::vector<int64_t> diverged_seeds;   // seeds without a result, because the loss was no longer finite
  PairedDifference difference;           // of the quality, minus the baseline's
  UnpairedDifference unpaired;           // of the same seeds
  TextInterval over_text;                // of the same runs, for other text
  Verdict verdict;
  double time_ratio = kAbsent;  // time of a step over the baseline's: geometric mean over the paired seeds
  // For each paired seed: the number of tokens after which the run reaches the quality of the baseline's compared
  // evaluation, over the number of tokens after which the baseline first reaches it; NaN where the run never does.
  std::vector<double> tokens_to_match;
  // In operations, and in time by the steps' times; without a value if the baseline was not trained at other costs.
  EffectiveSpeedup speedup;
  double time_speedup = kAbsent;
  // Differences from the baseline; options of a choice whose kind differs are left out.
  std::vector<ConfigDifference> changes;

  // Mean and standard deviation of a member over the seeds.
  double mean_of(double ComparedRun::*figure) const;
  double deviation_of(double ComparedRun::*figure) const;
  // NaN where no run has it.
  double mean_measure(const std::string& name) const;
};

// How far copies of one run scatter whose initial values differ by a rounding error.
struct NoiseControl {
  std::string config;
  int64_t seed = 0;
  std::vector<double> qualities;  // of the copies
  double deviation = kAbsent;     // their standard deviation; NaN below two copies

  // The half-width of an interval over n pairs that differ by nothing else; NaN below two pairs.
  double half_width(int64_t pairs) const;
};

struct Comparison {
  Comparison() = default;
  Comparison(Comparison&&) = default;
  Comparison& operator=(Comparison&&) = default;  // a copy's configs would point to the runs of the original

  std::string folder;
  ComparedAt at = ComparedAt::last;
  double margin = 0;
  EqualCost equal = EqualCost::tokens;  // what the runs have in common
  std::vector<ComparedRun> runs;        // all runs that were found
  std::vector<ComparedConfig> configs;  // those with runs that are fair, or that diverged
  size_t baseline = 0;                  // index in `configs`
  std::vector<CostedRuns> costs;        // the baseline's, in operations, by cost; empty if it was trained at one cost
  NoiseControl noise;                   // of the baseline; without copies if none were made
  std::vector<std::string> notes;       // remarks for the reader

  // Whether an interval is narrower than runs scatter that differ by nothing but rounding.
  bool is_below_noise(const ComparedConfig& config) const;
  const ComparedConfig& baseline_config() const { return configs[baseline]; }
  const ComparedRun& reference() const { return *baseline_config().runs.front(); }
  const Quality& judged_by() const { return *reference().history.judged_by; }
  std::vector<const ComparedRun*> with(ComparedRun::Standing standing) const;
  std::vector<std::string> measures() const;  // names, over all runs
};

// Runs whose terms differ from those of the baseline's first run become unfair. `order` lists configurations in the
// order of the report; others follow by name. Throws UsageError for an unknown baseline, CheckpointError when no run
// can be compared.
Comparison compare_runs(std::vector<ComparedRun> runs, const std::vector<std::string>& order,
                        const ComparisonOptions& options);
// Compares all runs in `folder`, in the order of its file configs.txt (written by scripts/compare). Folders in
// `folder`/costs have runs of the baseline that are shorter or longer. Throws CheckpointError.
Comparison compare_folder(const std::string& folder, const ComparisonOptions& options);

}  // namespace moe
