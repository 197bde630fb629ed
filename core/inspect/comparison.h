// Runs of several configurations with the same seeds, compared fairly or not at all.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/inspect/compared_run.h"
#include "core/inspect/paired_difference.h"
#include "core/record/run_folder.h"

namespace moe {

struct ComparisonOptions {
  ComparedAt at = ComparedAt::last;
  std::string baseline;  // empty = the first configuration with a run that can be compared
};

// One configuration: the fair runs of all its seeds.
struct ComparedConfig {
  std::string name;
  std::vector<const ComparedRun*> runs;  // by seed
  std::vector<int64_t> paired_seeds;     // that the baseline has too
  PairedDifference difference;           // of what the runs are judged by, minus the baseline's
  double time_ratio = kAbsent;           // of a step, over the baseline's: geometric mean over the paired seeds
  // For each paired seed: the tokens after which the validation text was predicted as well as by the baseline's
  // evaluation that counts, over the tokens after which the baseline's first was; NaN where it never was.
  std::vector<double> tokens_to_match;
  // From the baseline; options of a choice that is another one are left out.
  std::vector<ConfigDifference> changes;

  // Of a figure, over the seeds.
  double mean_of(double ComparedRun::*figure) const;
  double deviation_of(double ComparedRun::*figure) const;
  // NaN where no run has it.
  double mean_measure(const std::string& name) const;
};

struct Comparison {
  Comparison() = default;
  Comparison(Comparison&&) = default;  // a copy's configs would point to the runs of the original

  std::string folder;
  ComparedAt at = ComparedAt::last;
  std::vector<ComparedRun> runs;        // all that were found
  std::vector<ComparedConfig> configs;  // those with fair runs
  size_t baseline = 0;                  // of the configs
  std::vector<std::string> notes;       // what a reader has to know besides

  const ComparedConfig& baseline_config() const { return configs[baseline]; }
  const ComparedRun& reference() const { return *baseline_config().runs.front(); }
  const Quality& judged_by() const { return *reference().history.judged_by; }
  std::vector<const ComparedRun*> with(ComparedRun::Standing standing) const;
  std::vector<std::string> measures() const;  // names, of all runs
};

// Runs whose terms are not those of the baseline's first one become unfair. `order` names configurations, the first
// ones first; others follow by name. Throws UsageError for an unknown baseline, CheckpointError when no run can be
// compared.
Comparison compare_runs(std::vector<ComparedRun> runs, const std::vector<std::string>& order,
                        const ComparisonOptions& options);
// All runs in `folder`, in the order that its file configs.txt (of scripts/compare) tells. Throws CheckpointError.
Comparison compare_folder(const std::string& folder, const ComparisonOptions& options);

}  // namespace moe
