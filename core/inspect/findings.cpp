#include "core/inspect/findings.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "core/base/statistics.h"
#include "core/base/text.h"
#include "core/inspect/fairness.h"

namespace moe {
namespace {

using Standing = ComparedRun::Standing;

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
  const std::string_view key = baseline.runs.front()->history.judged_by->key;
  const bool by_accuracy = key == "error" || key == "recall_error";
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
    judge_fairness(run, reference, nullptr, costs);
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
    judge_fairness(run, c.reference(), &c.reference(), costs);
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

void add_findings(Comparison& c, const StudyCosts& costs) {
  for (size_t i = 0; i < c.configs.size(); ++i) {
    if (i != c.baseline) pair_up(c.configs[i], c.configs[c.baseline], c.notes);
  }
  note_costs(c, costs);
  judge_configs(c);
  measure_speedups(c, costs);
  measure_noise(c, costs);
  note_mixture(c, &ComparedRun::machine, "times cannot be compared, because the runs were made on different machines");
  note_mixture(c, &ComparedRun::precision, "the runs were computed in different precisions");
  note_mixture(c, &ComparedRun::program, "the runs were made by different builds of moe-train");
}

}  // namespace moe
