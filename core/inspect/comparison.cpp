#include "core/inspect/comparison.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/statistics.h"
#include "core/base/text.h"
#include "core/config/flat_values.h"
#include "core/inspect/tuning.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Standing = ComparedRun::Standing;

void leave_out(ComparedRun& run, Standing standing, std::string reason) {
  run.standing = standing;
  run.reason = std::move(reason);
}

std::vector<ConfigDifference> differences(const ComparedRun& one, const ComparedRun& other) {
  std::vector<ConfigDifference> result = config_differences(one.configuration, other.configuration);
  std::erase_if(result, [](const ConfigDifference& d) { return d.key == "seed"; });
  return result;
}

// Removes the options that appear or disappear because the kind of a choice differs.
std::vector<ConfigDifference> essential(std::vector<ConfigDifference> all) {
  std::vector<std::string> choices;
  for (const ConfigDifference& d : all) {
    if (d.key.ends_with(".kind")) choices.push_back(d.key.substr(0, d.key.size() - 4));
  }
  std::erase_if(all, [&](const ConfigDifference& d) {
    return std::any_of(choices.begin(), choices.end(), [&](const std::string& choice) {
      return d.key.starts_with(choice) && d.key != choice + "kind";
    });
  });
  return all;
}

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

// The key that a run's length is.
constexpr const char* kLengthKey = "train.steps";

RunCost cost_of(const ComparedRun& run) {
  return {.config = run.config,
          .machine = run.machine,
          .updates = run.updates,
          .tokens_per_update = run.tokens_per_update,
          .flops_per_token = run.flops_per_token};
}

// Compares a run's settings with those of the baseline and of the first run of its own configuration. A run at another
// cost differs from them in its length.
void judge(ComparedRun& run, const ComparedRun& reference, const ComparedRun* sibling, const StudyCosts& costs) {
  std::vector<std::string> reasons;
  const bool by_terms = costs.equal == EqualCost::tokens;
  if (!by_terms && !run.has_other_cost) reasons = cost_differences(costs, cost_of(run), cost_of(reference));
  for (size_t i = 0; i < run.terms.size(); ++i) {
    const auto& [name, value] = run.terms[i];
    if (run.has_other_cost && name == kUpdates) continue;
    if (!by_terms && (name == kUpdates || name == kTokensPerUpdate)) continue;
    const std::string& expected = reference.terms[i].second;
    if (value != expected) reasons.push_back(fmt::format("{} {} instead of {}", name, value, expected));
  }
  if (!reasons.empty()) {
    return leave_out(run, Standing::unfair, fmt::format("{} ({})", join(reasons, ", "), reference.name));
  }
  if (!sibling) return;
  if (run.seed == sibling->seed && !run.has_other_cost) {
    return leave_out(run, Standing::unreadable, fmt::format("a second run with the seed of {}", sibling->name));
  }
  for (const ConfigDifference& d : essential(differences(*sibling, run))) {
    if (!run.has_other_cost || d.key != kLengthKey) reasons.push_back(d.to_string());
  }
  if (!reasons.empty()) {
    leave_out(run, Standing::unfair,
              fmt::format("another configuration than {}: {}", sibling->name, join(reasons, ", ")));
  }
}

std::string seed_list(const std::vector<int64_t>& seeds) {
  std::vector<std::string> words;
  for (const int64_t seed : seeds) words.push_back(std::to_string(seed));
  return join(words, " ");
}

// The update at which a run's evaluations reach this quality, by linear interpolation between evaluations; NaN when
// they never reach it.
double updates_to_reach(const ComparedRun& run, double quality) {
  const EvaluationPoint* before = nullptr;
  for (const EvaluationPoint& e : run.history.evaluations) {
    if (e.quality <= quality) {
      if (!before) return static_cast<double>(e.step);
      const double share = (before->quality - quality) / (before->quality - e.quality);
      return static_cast<double>(before->step) + share * static_cast<double>(e.step - before->step);
    }
    if (!std::isnan(e.quality)) before = &e;
  }
  return kAbsent;
}

// How much more the figure is when a token's loss is larger by one, or for a classifier the share of correct
// predictions. Between its evaluations a run's figure and loss differ by more than rounding.
double figure_per_unit(const ComparedRun& run, bool by_accuracy) {
  if (by_accuracy) return -100;  // the error in per cent
  const EvaluationPoint *low = nullptr, *high = nullptr;
  for (const EvaluationPoint& e : run.history.evaluations) {
    if (std::isnan(e.quality) || std::isnan(e.loss)) continue;
    if (!low || e.loss < low->loss) low = &e;
    if (!high || e.loss > high->loss) high = &e;
  }
  if (!low || high->loss - low->loss < 0.01) return kAbsent;
  return (high->quality - low->quality) / (high->loss - low->loss);
}

TextInterval interval_over_text(const ComparedConfig& config, const ComparedConfig& baseline) {
  std::vector<PairedParts> pairs;
  for (const ComparedRun* run : config.runs) {
    for (const ComparedRun* other : baseline.runs) {
      if (run->seed == other->seed) pairs.push_back({&run->parts, &other->parts});
    }
  }
  const bool by_accuracy = baseline.runs.front()->history.judged_by->key == std::string_view("error");
  const double factor = figure_per_unit(*baseline.runs.front(), by_accuracy);
  return std::isnan(factor) ? TextInterval() : difference_over_text(pairs, by_accuracy, factor);
}

void pair_up(ComparedConfig& config, const ComparedConfig& baseline, std::vector<std::string>& notes) {
  std::map<int64_t, const ComparedRun*> of_baseline;
  for (const ComparedRun* run : baseline.runs) of_baseline[run->seed] = run;
  std::vector<double> differences_of_quality, values, baseline_values, log_ratios;
  std::vector<int64_t> alone;
  for (const ComparedRun* run : config.runs) {
    const auto it = of_baseline.find(run->seed);
    if (it == of_baseline.end()) {
      alone.push_back(run->seed);
      continue;
    }
    config.paired_seeds.push_back(run->seed);
    differences_of_quality.push_back(run->quality - it->second->quality);
    values.push_back(run->quality);
    baseline_values.push_back(it->second->quality);
    log_ratios.push_back(std::log(run->milliseconds / it->second->milliseconds));
    // When evaluations fluctuate, the baseline too may have reached its final quality earlier.
    config.tokens_to_match.push_back(
        updates_to_reach(*run, it->second->quality) * run->tokens_per_update /
        (updates_to_reach(*it->second, it->second->quality) * it->second->tokens_per_update));
    of_baseline.erase(it);
  }
  config.difference = paired_difference(std::move(differences_of_quality));
  config.unpaired = unpaired_difference(values, baseline_values);
  config.over_text = interval_over_text(config, baseline);
  config.time_ratio = std::exp(mean(log_ratios));
  for (const auto& [seed, run] : of_baseline) alone.push_back(seed);
  if (!alone.empty()) {
    std::sort(alone.begin(), alone.end());
    notes.push_back(fmt::format("{} and {} do not share the seed{} {}: compared {} pair{}", config.name, baseline.name,
                                alone.size() == 1 ? "" : "s", seed_list(alone), config.paired_seeds.size(),
                                config.paired_seeds.size() == 1 ? "" : "s"));
  }
}

// The copies of the baseline with the seed that most of them have. They are measured by the baseline's terms.
void measure_noise(Comparison& c, const StudyCosts& costs) {
  std::map<int64_t, std::vector<double>> by_seed;
  const ComparedRun& reference = c.reference();
  for (ComparedRun& run : c.runs) {
    if (!run.is_copy || run.standing != Standing::fair) continue;
    judge(run, reference, nullptr, costs);
    if (run.standing != Standing::fair) continue;
    run.standing = Standing::copy;
    if (run.config == c.baseline_config().name) by_seed[run.seed].push_back(run.quality);
  }
  for (auto& [seed, qualities] : by_seed) {
    if (qualities.size() <= c.noise.qualities.size()) continue;
    c.noise = {.config = c.baseline_config().name,
               .seed = seed,
               .qualities = qualities,
               .deviation = standard_deviation(qualities)};
  }
  const size_t copies = c.noise.qualities.size();
  if (copies == 0) return;
  c.notes.push_back(fmt::format(
      "{} copies of {} with seed {}, whose initial values differ by rounding errors, scatter by {:.4f} (standard "
      "deviation){}",
      copies, c.noise.config, c.noise.seed, c.noise.deviation, copies < 4 ? "; at least four are needed" : ""));
  for (const ComparedConfig& config : c.configs) {
    if (!c.is_below_noise(config)) continue;
    c.notes.push_back(
        fmt::format("the interval of {} is narrower than that of {} pairs that differ by rounding errors alone, "
                    "+-{:.4f}: the pairs "
                    "agree better than runs can, so more seeds will widen it",
                    config.name, config.difference.differences.size(),
                    c.noise.half_width(std::ssize(config.difference.differences))));
  }
}

// What the baseline, by its curve over its lengths, would have to spend for each configuration's quality.
void measure_speedups(Comparison& c, const StudyCosts& costs) {
  std::map<double, CostedRuns> by_cost;
  const auto add = [&](const ComparedRun& run) {
    CostedRuns& runs = by_cost[run.operations()];
    runs.cost = run.operations();
    runs.loss_of_seed[run.seed] = run.quality;
  };
  for (ComparedRun& run : c.runs) {
    if (!run.has_other_cost || run.standing != Standing::fair) continue;
    if (run.config != c.baseline_config().name) {
      leave_out(run, Standing::unfair, fmt::format("the baseline is {}", c.baseline_config().name));
      continue;
    }
    judge(run, c.reference(), &c.reference(), costs);
    if (run.standing != Standing::fair) continue;
    run.standing = Standing::other_cost;
    if (!std::isnan(run.operations())) add(run);
  }
  if (by_cost.empty()) return;
  for (const ComparedRun* run : c.baseline_config().runs) add(*run);
  if (by_cost.size() < 2) return;
  for (auto& [cost, runs] : by_cost) c.costs.push_back(std::move(runs));
  const ComparedConfig& baseline = c.baseline_config();
  for (ComparedConfig& config : c.configs) {
    if (&config == &baseline || config.runs.empty()) continue;
    CostedRuns method{.cost = config.mean_of(&ComparedRun::flops_per_token) * config.runs.front()->tokens()};
    for (const ComparedRun* run : config.runs) method.loss_of_seed[run->seed] = run->quality;
    config.speedup = effective_speedup(c.costs, method);
    const double operations = method.cost / c.reference().operations();
    const double updates = config.runs.front()->tokens() / c.reference().tokens();
    config.time_speedup = config.speedup.value * operations / (config.time_ratio * updates);
  }
}

// The verdicts on all configurations, which are judged together. A seed that diverged, here or in the baseline, is a
// result, so that the other seeds decide nothing.
void judge_configs(Comparison& c) {
  std::vector<PairedDifference> differences;
  for (const ComparedConfig& config : c.configs) differences.push_back(config.difference);
  const std::vector<Verdict> verdicts = judge_differences(differences, c.margin);
  const ComparedConfig* best = nullptr;
  for (size_t i = 0; i < c.configs.size(); ++i) {
    if (i == c.baseline) continue;
    ComparedConfig& config = c.configs[i];
    config.verdict = verdicts[i];
    if (!config.diverged_seeds.empty() || !c.baseline_config().diverged_seeds.empty()) {
      config.verdict.kind = Verdict::Kind::diverged;
      config.verdict.seeds_to_decide.reset();
    }
    if (config.difference.has_interval() && (!best || config.difference.mean < best->difference.mean)) best = &config;
  }
  if (best && c.configs.size() >= 4 && best->difference.mean < 0) {
    c.notes.push_back(
        fmt::format("{} is the best of {}: the best of many looks better than it is. Train it and the baseline again "
                    "with new seeds before you quote its difference",
                    best->name, c.configs.size() - 1));
  }
}

void note_costs(Comparison& c, const StudyCosts& costs) {
  if (costs.equal == EqualCost::tokens) return;
  std::vector<std::string> steps;
  for (const ComparedConfig& config : c.configs) {
    if (const auto it = costs.configs.find(config.name); it != costs.configs.end())
      steps.push_back(fmt::format("{} {}", config.name, it->second.steps));
  }
  c.notes.push_back(fmt::format("the runs have equal {}, to within one step, and not equal tokens; updates: {}",
                                costs.equal == EqualCost::flops ? "FLOPs" : "time, as it was measured before training",
                                join(steps, ", ")));
}

// Adds a note when the fair runs were made on different machines, in different precisions or by different builds.
void note_mixture(Comparison& c, std::string ComparedRun::*origin, const std::string& warning) {
  std::map<std::string, int> origins;
  for (const ComparedRun* run : c.with(Standing::fair)) ++origins[run->*origin];
  if (origins.size() < 2) return;
  std::vector<std::string> parts;
  for (const auto& [name, count] : origins) {
    parts.push_back(fmt::format("{} ({} run{})", name.empty() ? "unknown" : name, count, count == 1 ? "" : "s"));
  }
  c.notes.push_back(warning + ": " + join(parts, "; "));
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

namespace {

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
      judge(*run, *reference, sibling, options.costs);
      if (run->standing != Standing::fair) continue;
      if (!sibling) sibling = run;
      config.runs.push_back(run);
    }
    if (config.runs.empty() && config.diverged_seeds.empty()) continue;
    if (!config.runs.empty()) config.changes = essential(differences(*reference, *config.runs.front()));
    if (name == wanted) c.baseline = c.configs.size();
    c.configs.push_back(std::move(config));
  }
  for (size_t i = 0; i < c.configs.size(); ++i) {
    if (i != c.baseline) pair_up(c.configs[i], c.configs[c.baseline], c.notes);
  }
  note_costs(c, options.costs);
  judge_configs(c);
  measure_speedups(c, options.costs);
  measure_noise(c, options.costs);
  note_mixture(c, &ComparedRun::machine, "times cannot be compared, because the runs were made on different machines");
  note_mixture(c, &ComparedRun::precision, "the runs were computed in different precisions");
  note_mixture(c, &ComparedRun::program, "the runs were made by different builds of moe-train");
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
