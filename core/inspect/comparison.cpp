#include "core/inspect/comparison.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <system_error>

#include "core/base/statistics.h"
#include "core/base/text.h"
#include "core/config/flat_values.h"
#include "core/inspect/fairness.h"
#include "core/inspect/findings.h"
#include "core/inspect/tuning.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Standing = ComparedRun::Standing;

// The runs of each configuration, by its name.
using ConfigGroups = std::vector<std::pair<std::string, std::vector<ComparedRun*>>>;

// Groups all runs by configuration, in each group by seed.
ConfigGroups grouped(std::vector<ComparedRun>& runs, const std::vector<std::string>& order) {
  std::map<std::string, std::vector<ComparedRun*>> by_name;
  for (ComparedRun& run : runs) {
    if (!run.is_copy && !run.has_other_cost) by_name[run.config].push_back(&run);
  }
  ConfigGroups groups;
  const auto take = [&](const std::string& name) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) return;
    groups.emplace_back(name, it->second);
    by_name.erase(it);
  };
  for (const std::string& name : order) take(name);
  while (!by_name.empty()) take(by_name.begin()->first);
  for (auto& [name, members] : groups) {
    std::stable_sort(members.begin(), members.end(),
                     [](const ComparedRun* a, const ComparedRun* b) { return a->seed < b->seed; });
  }
  return groups;
}

// The configuration that the others are compared with, and its first fair run.
struct Baseline {
  std::string name;
  const ComparedRun* reference;
};

// The requested configuration, or the first that has a fair run.
Baseline find_baseline(const ConfigGroups& groups, const Comparison& c, const std::string& requested) {
  const auto first_fair = [](const std::vector<ComparedRun*>& members) -> const ComparedRun* {
    const auto it = std::find_if(members.begin(), members.end(),
                                 [](const ComparedRun* run) { return run->standing == Standing::fair; });
    return it == members.end() ? nullptr : *it;
  };
  std::vector<std::string> names;
  for (const auto& [name, members] : groups) names.push_back(name);
  const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) {
    return requested.empty() ? first_fair(g.second) != nullptr : g.first == requested;
  });
  if (group == groups.end() && !requested.empty())
    raise<UsageError>("no runs of a baseline '{}'; configurations: {}", requested, join(names, ", "));
  const ComparedRun* reference = group == groups.end() ? nullptr : first_fair(group->second);
  if (!reference) {
    std::vector<std::string> reasons;
    for (const ComparedRun& run : c.runs) {
      if (requested.empty() || run.config == requested) reasons.push_back(fmt::format("{}: {}", run.name, run.reason));
    }
    raise<CheckpointError>("no run {}can be compared:\n  {}",
                           requested.empty() ? "" : fmt::format("of the baseline {} ", requested),
                           join(reasons, "\n  "));
  }
  return {group->first, reference};
}

// Names of the folders in folder/inner, relative to `folder`.
std::vector<std::string> folders_in(const std::string& folder, const fs::path& inner) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder / inner, error)) {
    if (entry.is_directory()) names.push_back(inner / entry.path().filename());
  }
  if (error) raise<CheckpointError>("cannot read the folder {}: {}", (folder / inner).string(), error.message());
  return names;
}

// A folder with one of the files of a run may be a run that lost the others.
std::vector<std::string> runs_in(const std::string& folder, const fs::path& inner) {
  std::vector<std::string> names = folders_in(folder, inner);
  std::erase_if(names, [&](const std::string& name) {
    const fs::path path = fs::path(folder) / name;
    return !fs::exists(path / "config.yaml") && !fs::exists(path / "manifest.json") &&
           !fs::exists(path / "metrics.jsonl");
  });
  return names;
}

}  // namespace

double ComparedConfig::mean_of(double ComparedRun::*figure) const {
  std::vector<double> values;
  for (const ComparedRun* run : runs) values.push_back(run->*figure);
  return mean(values);
}

double ComparedConfig::deviation_of(double ComparedRun::*figure) const {
  std::vector<double> values;
  for (const ComparedRun* run : runs) values.push_back(run->*figure);
  return standard_deviation(values);
}

double ComparedConfig::mean_measure(const std::string& measure) const {
  std::vector<double> values;
  for (const ComparedRun* run : runs) {
    if (const auto it = run->measures.find(measure); it != run->measures.end()) values.push_back(it->second);
  }
  return mean(values);
}

double NoiseControl::half_width(int64_t pairs) const {
  if (pairs < 2) return kAbsent;
  return student_t(kConfidence, pairs - 1) * deviation * std::sqrt(2 / static_cast<double>(pairs));
}

bool Comparison::is_below_noise(const ComparedConfig& config) const {
  return config.difference.half_width < noise.half_width(std::ssize(config.difference.differences));
}

std::vector<const ComparedRun*> Comparison::with(Standing standing) const {
  std::vector<const ComparedRun*> result;
  for (const ComparedRun& run : runs) {
    if (run.standing == standing) result.push_back(&run);
  }
  return result;
}

std::vector<std::string> Comparison::measures() const {
  std::set<std::string> names;
  for (const ComparedRun* run : with(Standing::fair)) {
    for (const auto& [name, value] : run->measures) names.insert(name);
  }
  return {names.begin(), names.end()};
}

Comparison compare_runs(std::vector<ComparedRun> runs, const std::vector<std::string>& order,
                        const ComparisonOptions& options) {
  Comparison c;
  c.at = options.at;
  c.margin = options.margin;
  c.equal = options.costs.equal;
  c.runs = std::move(runs);
  auto groups = grouped(c.runs, order);
  const auto [wanted, reference] = find_baseline(groups, c, options.baseline);
  if (options.baseline.empty() && wanted != groups.front().first)
    c.notes.push_back(fmt::format("no run of {} can be compared: {} is the baseline", groups.front().first, wanted));

  for (auto& [name, members] : groups) {
    const ComparedRun* sibling = nullptr;
    ComparedConfig config;
    config.name = name;
    for (ComparedRun* run : members) {
      if (run->standing == Standing::diverged) config.diverged_seeds.push_back(run->seed);
      if (run->standing != Standing::fair) continue;
      judge_fairness(*run, *reference, sibling, options.costs);
      if (run->standing != Standing::fair) continue;
      if (!sibling) sibling = run;
      config.runs.push_back(run);
    }
    if (config.runs.empty() && config.diverged_seeds.empty()) continue;
    if (!config.runs.empty()) config.changes = essential_differences(*reference, *config.runs.front());
    if (name == wanted) c.baseline = c.configs.size();
    c.configs.push_back(std::move(config));
  }
  add_findings(c, options.costs);
  for (const ComparedRun& run : c.runs) {
    if (run.history.damaged_lines > 0)
      c.notes.push_back(
          fmt::format("{}: skipped {} damaged line(s) of metrics.jsonl", run.name, run.history.damaged_lines));
  }
  return c;
}

// Adds what the sweeps of scripts/tune say about the configurations, where the folder has their result.
static void note_tuning(Comparison& c) {
  const std::string file = c.folder + "/tune.json";
  if (!fs::exists(file)) return;
  const std::vector<Sweep> sweeps = read_tuning(file);
  std::vector<TunedConfig> configs;
  for (const ComparedConfig& config : c.configs) {
    if (config.runs.empty()) continue;
    configs.push_back({config.name, flat_values(config.runs.front()->configuration)});
  }
  for (std::string& note : tuning_notes(sweeps, configs)) c.notes.push_back(std::move(note));
}

Comparison compare_folder(const std::string& folder, const ComparisonOptions& options) {
  std::vector<ComparedRun> runs;
  for (const std::string& name : runs_in(folder, "")) runs.push_back(read_compared_run(folder, name, options.at));
  if (runs.empty())
    raise<CheckpointError>("{} holds no runs: no folder in it has a config.yaml, manifest.json or metrics.jsonl",
                           folder);
  if (fs::exists(folder + "/costs")) {
    for (const std::string& cost : folders_in(folder, "costs")) {
      for (const std::string& name : runs_in(folder, cost)) {
        runs.push_back(read_compared_run(folder, name, options.at));
        runs.back().has_other_cost = true;
      }
    }
  }
  std::sort(runs.begin(), runs.end(), [](const ComparedRun& a, const ComparedRun& b) { return a.name < b.name; });
  std::vector<std::string> order;
  std::ifstream file(folder + "/configs.txt");
  for (std::string line; std::getline(file, line);) order.push_back(line);
  ComparisonOptions with_costs = options;
  with_costs.costs = read_study_costs(folder);
  Comparison comparison = compare_runs(std::move(runs), order, with_costs);
  comparison.folder = folder;
  note_tuning(comparison);
  return comparison;
}

}  // namespace moe
