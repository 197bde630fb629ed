#include "core/inspect/comparison_plots.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/base/statistics.h"
#include "core/inspect/cost_curve.h"
#include "core/inspect/dot_plot.h"
#include "core/inspect/line_chart.h"

namespace moe {
namespace {

using Series = std::map<int64_t, double>;  // values by step

template <class Point>
Series quality_of(const std::vector<Point>& points) {
  Series series;
  for (const Point& p : points) {
    if (!std::isnan(p.quality)) series[p.step] = p.quality;
  }
  return series;
}
Series validation_of(const ComparedRun& run) {
  return quality_of(run.history.evaluations);
}
Series training_of(const ComparedRun& run) {
  return quality_of(run.history.train);
}

// Mean and band of the series at steps where all have a point.
Curve averaged(const std::string& name, const std::vector<Series>& all, double tokens_per_update, bool markers) {
  Curve curve{name, {}, {}, markers};
  if (all.empty()) return curve;
  for (const auto& [step, first] : all.front()) {
    std::vector<double> values;
    for (const Series& series : all) {
      if (const auto it = series.find(step); it != series.end()) values.push_back(it->second);
    }
    if (values.size() < all.size()) continue;
    curve.x.push_back(static_cast<double>(step) * tokens_per_update);
    curve.y.push_back(mean(values));
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    curve.low.push_back(*low);
    curve.high.push_back(*high);
  }
  return curve;
}

LineChart mean_curves(const Comparison& c, const std::string& title, Series (*series_of)(const ComparedRun&),
                      bool markers) {
  LineChart chart{title, fmt::format("{}; mean over the seeds and their range", c.judged_by().name), "tokens"};
  chart.cut_beginning = true;
  for (const ComparedConfig& config : c.configs) {
    std::vector<Series> all;
    for (const ComparedRun* run : config.runs) all.push_back(series_of(*run));
    chart.curves.push_back(averaged(config.name, all, c.reference().tokens_per_update, markers));
  }
  return chart;
}

// Curves of configurations with small differences overlap; their paired differences remain readable.
LineChart difference_curves(const Comparison& c) {
  LineChart chart{"Difference to the baseline",
                  fmt::format("{} on validation, paired by seed; below 0 is better", c.judged_by().name), "tokens"};
  chart.cut_beginning = true;
  std::map<int64_t, Series> baseline;
  for (const ComparedRun* run : c.baseline_config().runs) baseline[run->seed] = validation_of(*run);
  for (const ComparedConfig& config : c.configs) {
    std::vector<Series> all;
    for (const ComparedRun* run : config.runs) {
      const auto partner = baseline.find(run->seed);
      if (partner == baseline.end()) continue;
      Series& differences = all.emplace_back();
      for (const auto& [step, value] : validation_of(*run)) {
        if (const auto it = partner->second.find(step); it != partner->second.end())
          differences[step] = value - it->second;
      }
    }
    chart.curves.push_back(averaged(config.name, all, c.reference().tokens_per_update, true));
  }
  return chart;
}

// Quality against cost: a point for each configuration, if their costs differ.
std::optional<LineChart> quality_by_flops(const Comparison& c) {
  LineChart chart{"Quality against cost", fmt::format("{}; mean over the seeds and their range", c.judged_by().name),
                  "MFLOP per token in a training step, of active parameters"};
  std::set<double> costs;
  for (const ComparedConfig& config : c.configs) {
    const double cost = config.mean_of(&ComparedRun::flops_per_token) / 1e6;
    if (std::isnan(cost)) continue;
    std::vector<double> values;
    for (const ComparedRun* run : config.runs) values.push_back(run->quality);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    chart.curves.push_back(
        {.name = config.name, .x = {cost}, .y = {mean(values)}, .markers = true, .low = {*low}, .high = {*high}});
    costs.insert(cost);
  }
  return costs.size() > 1 ? std::optional(chart) : std::nullopt;
}

}  // namespace

std::string difference_plot(const Comparison& c) {
  DotPlot plot{"Paired differences",
               fmt::format("{} minus that of {}; rings: seeds, dot: mean, line: 95 % interval", c.judged_by().name,
                           c.baseline_config().name),
               "better than the baseline | worse",
               {}};
  for (size_t i = 0; i < c.configs.size(); ++i) {
    const PairedDifference& d = c.configs[i].difference;
    if (i == c.baseline || d.differences.empty()) continue;
    plot.rows.push_back({.name = c.configs[i].name,
                         .colour = i,
                         .points = d.differences,
                         .mean = d.mean,
                         .half_width = d.half_width,
                         .text = d.has_interval() ? fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", d.mean, d.low(), d.high())
                                                  : fmt::format("{:+.4f}, needs 2 seeds", d.mean)});
  }
  return draw(plot);
}

std::string speedup_curve(const Comparison& c) {
  LineChart chart{
      "Quality against operations",
      fmt::format("{}; mean over the seeds and their range; the line is the baseline's curve", c.judged_by().name),
      "operations of a whole run, over the baseline's"};
  chart.log_x = true;
  const double unit = c.reference().operations();
  std::vector<ScalingPoint> points;
  Curve measured{.name = c.baseline_config().name, .x = {}, .y = {}, .markers = true};
  for (const CostedRuns& runs : c.costs) {
    std::vector<double> losses;
    for (const auto& [seed, loss] : runs.loss_of_seed) losses.push_back(loss);
    points.push_back({runs.cost / unit, mean(losses)});
    measured.x.push_back(runs.cost / unit);
    measured.y.push_back(mean(losses));
    const auto [low, high] = std::minmax_element(losses.begin(), losses.end());
    measured.low.push_back(*low);
    measured.high.push_back(*high);
  }
  const CostCurve fit = fit_cost_curve(points);
  for (size_t i = 0; i < c.configs.size(); ++i) {
    if (i == c.baseline) {
      chart.curves.push_back(measured);
      continue;
    }
    const ComparedConfig& config = c.configs[i];
    Curve curve{.name = config.name, .x = {}, .y = {}, .markers = true};
    if (!config.runs.empty()) {
      curve.x = {config.mean_of(&ComparedRun::flops_per_token) * config.runs.front()->tokens() / unit};
      curve.y = {config.mean_of(&ComparedRun::quality)};
    }
    chart.curves.push_back(curve);
  }
  Curve line{.name = "fit of " + c.baseline_config().name, .x = {}, .y = {}};
  const double from = measured.x.front(), to = measured.x.back();
  for (int i = 0; i <= 40; ++i) {
    line.x.push_back(from * std::pow(to / from, i / 40.0));
    line.y.push_back(fit.loss(line.x.back()));
  }
  chart.curves.push_back(std::move(line));
  return draw(std::vector{chart});
}

std::string comparison_curves(const Comparison& c) {
  std::vector<LineChart> charts;
  if (c.configs.size() > 1) charts.push_back(difference_curves(c));
  charts.push_back(mean_curves(c, "Validation", validation_of, true));
  charts.push_back(mean_curves(c, "Training", training_of, false));
  if (const auto chart = quality_by_flops(c)) charts.push_back(*chart);
  return draw(charts);
}

}  // namespace moe
