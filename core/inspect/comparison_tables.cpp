#include "core/inspect/comparison_tables.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/base/text.h"

namespace moe {
namespace {

using Standing = ComparedRun::Standing;

std::string seeds_text(const Comparison& c, const ComparedConfig& config) {
  const size_t all = config.runs.size(), paired = config.paired_seeds.size(), diverged = config.diverged_seeds.size();
  std::vector<std::string> remarks;
  if (&config != &c.baseline_config() && paired != all) remarks.push_back(fmt::format("{} paired", paired));
  if (diverged > 0) remarks.push_back(fmt::format("{} diverged", diverged));
  return std::to_string(all) + (remarks.empty() ? "" : " (" + join(remarks, ", ") + ")");
}

// * marks one that is narrower than the noise.
std::string interval_text(const Comparison& c, const ComparedConfig& config) {
  const PairedDifference& d = config.difference;
  if (d.differences.empty()) return "no shared seed";
  if (!d.has_interval()) return "needs 2 seeds";
  return fmt::format("[{}, {}]{}", signed_text(d.low()), signed_text(d.high()), c.is_below_noise(config) ? "*" : "");
}

std::string probability_text(double p) {
  return std::isnan(p) ? "-" : p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p);
}

template <class Row>
ReportTable table(const Comparison& c, std::string title, std::vector<std::string> columns, Row row) {
  ReportTable result{std::move(title), std::move(columns), {}};
  for (const ComparedConfig& config : c.configs) result.rows.push_back(row(config));
  return result;
}

}  // namespace

ReportTable quality_table(const Comparison& c) {
  return table(c, "Validation", {"config", "seeds", c.judged_by().key, "sd", "difference", "95 % interval", "verdict"},
               [&](const ComparedConfig& config) {
                 const bool base = &config == &c.baseline_config();
                 const PairedDifference& d = config.difference;
                 return std::vector<std::string>{config.name,
                                                 seeds_text(c, config),
                                                 figure_text(config.mean_of(&ComparedRun::quality), 4),
                                                 figure_text(config.deviation_of(&ComparedRun::quality), 4),
                                                 base ? "baseline" : signed_text(d.mean),
                                                 base ? "" : interval_text(c, config),
                                                 base ? "" : name_of(config.verdict.kind)};
               });
}

ReportTable evidence_table(const Comparison& c) {
  std::vector<std::string> columns{"config", "p", "unpaired interval", "correlation", "seeds to decide"};
  const bool has_margin = c.margin > 0;
  const bool has_parts = std::any_of(c.configs.begin(), c.configs.end(),
                                     [](const ComparedConfig& config) { return config.over_text.parts > 0; });
  if (has_parts) columns.insert(columns.begin() + 2, "over texts");
  if (has_margin) columns.insert(columns.begin() + 2, fmt::format("p(beyond {:g})", c.margin));
  return table(c, "Evidence", columns, [&](const ComparedConfig& config) {
    std::vector<std::string> row{config.name};
    if (&config == &c.baseline_config()) {
      row.resize(columns.size());
      row[1] = "baseline";
      return row;
    }
    const UnpairedDifference& u = config.unpaired;
    const auto interval = [](double low, double high) {
      return std::isnan(low) ? "-" : fmt::format("[{}, {}]", signed_text(low), signed_text(high));
    };
    row.push_back(probability_text(config.verdict.p));
    if (has_margin) row.push_back(probability_text(config.verdict.p_equivalent));
    if (has_parts) row.push_back(interval(config.over_text.low, config.over_text.high));
    row.push_back(interval(u.mean - u.half_width, u.mean + u.half_width));
    row.push_back(signed_text(u.correlation, 2));
    const Verdict& v = config.verdict;
    row.push_back(v.kind != Verdict::Kind::undecided ? "-"
                  : v.seeds_to_decide                ? fmt::format("about {}", *v.seeds_to_decide)
                                                     : fmt::format("over {}", kMostSeeds));
    return row;
  });
}

ReportTable match_table(const Comparison& c) {
  return table(
      c, fmt::format("Tokens to the baseline's {}", c.judged_by().key),
      {"config", "matched", "tokens", "95 % interval", "excludes 1"}, [&](const ComparedConfig& config) {
        if (&config == &c.baseline_config()) return std::vector<std::string>{config.name, "", "baseline", "", ""};
        const std::vector<double>& ratios = config.tokens_to_match;
        const auto matched =
            std::count_if(ratios.begin(), ratios.end(), [](double ratio) { return !std::isnan(ratio); });
        std::vector<std::string> row{config.name, fmt::format("{} of {}", matched, ratios.size())};
        // The mean over only those that matched would favour a configuration that rarely does.
        if (ratios.empty() || matched != std::ssize(ratios)) {
          row.insert(row.end(), {"-", "", ""});
          return row;
        }
        std::vector<double> savings;
        for (const double ratio : ratios) savings.push_back(ratio - 1);
        const PairedDifference d = paired_difference(std::move(savings));
        row.push_back(fmt::format("{:.2f}x", 1 + d.mean));
        row.push_back(d.has_interval() ? fmt::format("[{:.2f}, {:.2f}]", 1 + d.low(), 1 + d.high()) : "needs 2 seeds");
        row.push_back(!d.has_interval() ? "-" : d.excludes_zero() ? "yes" : "no");
        return row;
      });
}

ReportTable speedup_table(const Comparison& c) {
  return table(c, "Effective speedup", {"config", "speedup", "95 % interval", "seeds", "in time", ""},
               [&](const ComparedConfig& config) {
                 const EffectiveSpeedup& s = config.speedup;
                 if (&config == &c.baseline_config()) {
                   std::vector<std::string> costs;
                   for (const CostedRuns& runs : c.costs)
                     costs.push_back(fmt::format("{:.3g}", runs.cost / c.reference().operations()));
                   return std::vector<std::string>{config.name, "baseline", "",
                                                   "",          "",         "trained at cost " + join(costs, ", ")};
                 }
                 return std::vector<std::string>{config.name,
                                                 ratio_text(s.value),
                                                 s.seeds < kSeedsForInterval
                                                     ? "needs 3 seeds"
                                                     : fmt::format("[{}, {}]", ratio_text(s.low), ratio_text(s.high)),
                                                 std::to_string(s.seeds),
                                                 ratio_text(config.time_speedup),
                                                 s.extrapolated ? "beyond the baseline's costs" : ""};
               });
}

ReportTable cost_table(const Comparison& c) {
  return table(c, "Cost", {"config", "ms/step", "time", "MFLOP/token", "parameters", "active"},
               [&](const ComparedConfig& config) {
                 const bool base = &config == &c.baseline_config();
                 const double ratio = base ? 1 : config.time_ratio;
                 return std::vector<std::string>{config.name,
                                                 figure_text(config.mean_of(&ComparedRun::milliseconds), 1),
                                                 std::isnan(ratio) ? "-" : fmt::format("{:.2f}x", ratio),
                                                 figure_text(config.mean_of(&ComparedRun::flops_per_token) / 1e6, 2),
                                                 count_text(config.mean_of(&ComparedRun::parameters)),
                                                 count_text(config.mean_of(&ComparedRun::active_parameters))};
               });
}

ReportTable experts_table(const Comparison& c) {
  return table(c, "Experts", {"config", "max/mean", "dead", "entropy"}, [](const ComparedConfig& config) {
    return std::vector<std::string>{config.name, figure_text(config.mean_of(&ComparedRun::max_over_mean), 2),
                                    figure_text(config.mean_of(&ComparedRun::dead), 1),
                                    figure_text(config.mean_of(&ComparedRun::router_entropy), 3)};
  });
}

ReportTable measures_table(const Comparison& c) {
  const std::vector<std::string> names = c.measures();
  std::vector<std::string> columns{"config"};
  columns.insert(columns.end(), names.begin(), names.end());
  return table(c, "Measures", columns, [&](const ComparedConfig& config) {
    std::vector<std::string> row{config.name};
    for (const std::string& name : names) {
      const double value = config.mean_measure(name);
      row.push_back(std::isnan(value) ? "-" : fmt::format("{:.4g}", value));
    }
    return row;
  });
}

std::string comparison_headline(const Comparison& c) {
  const ComparedRun& r = c.reference();
  const auto term = [&](size_t i) { return i < r.terms.size() ? r.terms[i].second : "?"; };
  return fmt::format("{} configuration{}, {} run{} | {} updates of {} tokens | {} evaluation, {} tokens | baseline {}",
                     c.configs.size(), c.configs.size() == 1 ? "" : "s", c.with(Standing::fair).size(),
                     c.with(Standing::fair).size() == 1 ? "" : "s", term(4), term(2),
                     c.at == ComparedAt::last ? "last" : "best", term(6), c.baseline_config().name);
}

std::string comparison_answer(const Comparison& c) {
  using Kind = Verdict::Kind;
  struct Group {
    Kind kind;
    std::string words;  // before the names
  };
  const std::string& baseline = c.baseline_config().name;
  const std::string unit = c.judged_by().name;
  const Group groups[] = {{Kind::better, fmt::format("better than {} in {}: ", baseline, unit)},
                          {Kind::worse, fmt::format("worse than {} in {}: ", baseline, unit)},
                          {Kind::equivalent, fmt::format("equivalent to {} within {:g}: ", baseline, c.margin)},
                          {Kind::undecided, "not decided: "},
                          {Kind::diverged, "not judged, because a seed diverged: "},
                          {Kind::none, "not judged without two shared seeds: "}};
  std::vector<std::string> parts;
  for (const Group& group : groups) {
    std::vector<std::string> names;
    for (const ComparedConfig& config : c.configs) {
      if (&config == &c.baseline_config() || config.verdict.kind != group.kind) continue;
      std::string name = config.name;
      const bool has_size = group.kind == Kind::better || group.kind == Kind::worse;
      if (has_size) {
        name += fmt::format(" (by {:.4f}, 95 % interval {:.4f} to {:.4f})", std::abs(config.difference.mean),
                            std::min(std::abs(config.difference.low()), std::abs(config.difference.high())),
                            std::max(std::abs(config.difference.low()), std::abs(config.difference.high())));
      }
      if (group.kind == Kind::undecided && config.verdict.seeds_to_decide)
        name += fmt::format(" (about {} seeds would decide)", *config.verdict.seeds_to_decide);
      names.push_back(std::move(name));
    }
    if (!names.empty()) parts.push_back(group.words + join(names, ", "));
  }
  std::string answer = join(parts, "; ");
  if (!answer.empty()) answer[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(answer[0])));
  return answer.empty() ? answer : answer + ".";
}

std::string changes_line(const ComparedConfig& config) {
  std::vector<std::string> parts;
  for (const ConfigDifference& d : config.changes) parts.push_back(d.to_string());
  return join(parts, ", ");
}

std::vector<Remark> remarks(const Comparison& c) {
  struct Kind {
    Standing standing;
    const char* label;
    bool alarming;
  };
  static constexpr Kind kKinds[] = {{Standing::diverged, "DIVERGED", true},
                                    {Standing::unfair, "UNFAIR, left out", true},
                                    {Standing::unfinished, "unfinished, left out", true},
                                    {Standing::unreadable, "left out", true}};
  std::vector<Remark> result;
  for (const Kind& kind : kKinds) {
    for (const ComparedRun* run : c.with(kind.standing))
      result.push_back({kind.label, run->name + ": " + run->reason, kind.alarming});
  }
  for (const std::string& note : c.notes) result.push_back({"note", note});
  return result;
}

std::string reading_help(const Comparison& c) {
  std::string text =
      fmt::format(
          "difference: mean over the shared seeds of {} minus the baseline's, with Student's t interval over "
          "the seeds; ",
          c.judged_by().name) +
      "below 0 is better. verdict: by p below 0.05, corrected for the number of configurations (Holm); not decided is "
      "no proof of equality" +
      (c.margin > 0 ? fmt::format(", equivalent is one of a difference below {:g}", c.margin)
                    : ", which --margin looks for") +
      ". over texts: the interval for other validation text, with these runs (a bootstrap over pieces of the text)"
      ". correlation: of the pairs; where it is near 0 pairing by seed brings nothing. seeds to decide: in all, if "
      "mean "
      "and scatter stay as they are. It applies to other seeds of the same setting, not to other sizes, lengths or "
      "data. "
      "tokens: the number until a configuration, interpolated linearly between evaluations, reaches the baseline's "
      "final quality, over the number until the baseline first reaches it. " +
      (c.costs.empty() ? ""
                       : "speedup: the operations after which the baseline, by its curve over whole runs of several "
                         "lengths, reaches a configuration's quality, over that configuration's, with a bootstrap over "
                         "the seeds (too narrow for few); in time: likewise, by the time of a step. ") +
      "time: of a step, over the baseline's. "
      "max/mean: load of the worst layer's busiest expert over a fair share; dead: experts of all layers without a "
      "token; entropy: of the router, 1 is uniform.";
  if (c.configs.size() > 2) {
    text += fmt::format(
        " The intervals are of one comparison each: of {}, expect one in twenty to exclude 0 where there is "
        "no difference.",
        c.configs.size() - 1);
  }
  return text;
}

}  // namespace moe
