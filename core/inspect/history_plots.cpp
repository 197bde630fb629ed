#include "core/inspect/history_plots.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/integer.h"
#include "core/inspect/heat_map.h"
#include "core/inspect/line_chart.h"

namespace moe {
namespace {

// Up to this number of layers each layer has a curve; with more, the extremes and the median are drawn.
constexpr size_t kMaxLayerCurves = 8;
constexpr size_t kMaxLoadMaps = 16;

template <class Value>
Curve train_curve(const std::string& name, const RunHistory& history, Value value) {
  Curve curve{name, {}, {}};
  for (const TrainPoint& p : history.train) {
    curve.x.push_back(static_cast<double>(p.step));
    curve.y.push_back(value(p));
  }
  return curve;
}

using NamedNumbers = std::map<std::string, double>;

// The curve of one entry of the records' maps.
Curve named_curve(const RunHistory& history, NamedNumbers TrainPoint::*numbers, const std::string& name) {
  return train_curve(name, history, [&](const TrainPoint& p) {
    const auto it = (p.*numbers).find(name);
    return it == (p.*numbers).end() ? kAbsent : it->second;
  });
}

// The steps at which expert events happened.
std::vector<LineChart::Moment> lifecycle_moments(const RunHistory& history, double per_step = 1) {
  std::vector<LineChart::Moment> moments;
  for (const LifecyclePoint& p : history.lifecycle) {
    const std::string label = fmt::format("{} at step {}", p.kind, p.step);
    if (moments.empty() || moments.back().label != label)
      moments.push_back({static_cast<double>(p.step) * per_step, label});
  }
  return moments;
}

LineChart learning_curves(const Inspection& i) {
  // Evaluations record only their step; the number of tokens follows from it.
  const auto tokens_at = [&](int64_t step) { return static_cast<double>(step * i.config.train.batch * i.sample.time); };
  LineChart chart{.title = "Learning curves", .note = i.history.judged_by->name, .x_label = "tokens"};
  chart.cut_beginning = true;
  Curve train{"training", {}, {}}, validation{"validation", {}, {}, true};
  for (const TrainPoint& p : i.history.train) {
    train.x.push_back(std::isnan(p.tokens) ? tokens_at(p.step) : p.tokens);
    train.y.push_back(p.quality);
  }
  for (const EvaluationPoint& e : i.history.evaluations) {
    validation.x.push_back(tokens_at(e.step));
    validation.y.push_back(e.quality);
  }
  chart.moments = lifecycle_moments(i.history, tokens_at(1));
  if (!train.x.empty()) chart.curves.push_back(train);
  if (!validation.x.empty()) chart.curves.push_back(validation);
  const EvaluationPoint* best = i.history.best();
  if (best && !std::isnan(best->quality)) {
    chart.mark = {tokens_at(best->step), best->quality,
                  fmt::format("best {:.4f} at step {}", best->quality, best->step)};
  }
  return chart;
}

// The loads over time: from the logged training steps, or from the evaluations where loads were too large to log at
// every step.
struct LoadSeries {
  std::string source;
  std::vector<double> steps;
  std::vector<LoadShares> loads;
};

template <class Point>
LoadSeries load_series(const std::string& source, const std::vector<Point>& points, size_t layers) {
  LoadSeries series{source, {}, {}};
  for (const Point& p : points) {
    if (p.load.size() != layers) continue;
    series.steps.push_back(static_cast<double>(p.step));
    series.loads.push_back(p.load);
  }
  return series;
}

LoadSeries load_series(const Inspection& i) {
  LoadSeries train = load_series("single training batches", i.history.train, i.layers.size());
  return train.steps.size() > 1 ? train : load_series("evaluations", i.history.evaluations, i.layers.size());
}

double max_over_mean(const std::vector<double>& load) {
  return *std::max_element(load.begin(), load.end()) * static_cast<double>(load.size());
}

double dead(const std::vector<double>& load) {
  return static_cast<double>(std::count(load.begin(), load.end(), 0.0));
}

double nearly_dead(const std::vector<double>& load) {
  const double limit = LayerStats::kNearlyDead / static_cast<double>(load.size());
  return static_cast<double>(
      std::count_if(load.begin(), load.end(), [&](double share) { return share > 0 && share < limit; }));
}

template <class Value>
std::vector<Curve> layer_curves(const Inspection& i, const LoadSeries& series, Value value) {
  std::vector<Curve> curves;
  if (i.layers.size() <= kMaxLayerCurves) {
    for (size_t layer = 0; layer < i.layers.size(); ++layer) {
      Curve& curve = curves.emplace_back(Curve{fmt::format("layer {}", i.layers[layer].layer), series.steps, {}});
      for (const LoadShares& loads : series.loads) curve.y.push_back(value(loads[layer]));
    }
    return curves;
  }
  for (const auto& [name, quantile] :
       {std::pair{"worst layer", 1.0}, std::pair{"median layer", 0.5}, std::pair{"best layer", 0.0}}) {
    Curve& curve = curves.emplace_back(Curve{name, series.steps, {}});
    for (const LoadShares& loads : series.loads) {
      std::vector<double> values;
      for (const std::vector<double>& load : loads) values.push_back(value(load));
      std::sort(values.begin(), values.end());
      curve.y.push_back(values[as_index(std::lround(quantile * static_cast<double>(values.size() - 1)))]);
    }
  }
  return curves;
}

bool any_positive(const std::vector<Curve>& curves) {
  return std::any_of(curves.begin(), curves.end(), [](const Curve& c) {
    return std::any_of(c.y.begin(), c.y.end(), [](double y) { return y > 0; });
  });
}

std::set<std::string> names_in(const RunHistory& history, NamedNumbers TrainPoint::*numbers) {
  std::set<std::string> names;
  for (const TrainPoint& p : history.train) {
    for (const auto& [name, value] : p.*numbers) names.insert(name);
  }
  return names;
}

}  // namespace

// The corpora of a mixture: their losses, and their shares of the samples.
static void add_source_charts(std::vector<LineChart>& charts, const RunHistory& h) {
  LineChart losses{.title = "Training loss by corpus", .note = "nats per prediction", .x_label = "step", .curves = {}};
  LineChart shares{.title = "Shares of the corpora", .note = "of the samples", .x_label = "step", .curves = {}};
  for (const std::string& name : names_in(h, &TrainPoint::source_losses)) {
    losses.curves.push_back(named_curve(h, &TrainPoint::source_losses, name));
    shares.curves.push_back(named_curve(h, &TrainPoint::source_shares, name));
  }
  if (losses.curves.empty()) return;
  losses.cut_beginning = true;
  charts.push_back(losses);
  charts.push_back(shares);
}

std::string learning_plots(const Inspection& i) {
  const RunHistory& h = i.history;
  LineChart rate{.title = "Learning rate",
                 .note = "",
                 .x_label = "step",
                 .curves = {train_curve("learning rate", h, [](const TrainPoint& p) { return p.learning_rate; })},
                 .from_zero = true};
  LineChart norm{.title = "Gradient norm",
                 .note = "before clipping, at the logged steps",
                 .x_label = "step",
                 .curves = {train_curve("norm", h, [](const TrainPoint& p) { return p.norm; })},
                 .from_zero = true,
                 .log_y = true};
  LineChart speed{.title = "Throughput",
                  .note = "tokens per second, all ranks",
                  .x_label = "step",
                  .curves = {train_curve("tokens/s", h, [](const TrainPoint& p) { return p.tokens_per_second; })},
                  .from_zero = true};
  std::vector<LineChart> charts{learning_curves(i), rate, norm, speed};
  for (const std::string& key : names_in(h, &TrainPoint::scheduled)) {
    charts.push_back({.title = "Schedule: " + key,
                      .note = "",
                      .x_label = "step",
                      .curves = {named_curve(h, &TrainPoint::scheduled, key)}});
  }
  add_source_charts(charts, h);
  return draw(charts);
}

namespace {

// How unevenly the layers' experts are used, and how many are not used at all.
struct UnevennessCharts {
  LineChart imbalance{.title = "Imbalance", .note = "largest load over the mean, 1 is even", .x_label = "step"};
  LineChart effective{.title = "Effective share of the experts",
                      .note = "exp(entropy of the load) over the number of experts, 1 is even",
                      .x_label = "step",
                      .curves = {},
                      .from_zero = true};
  LineChart nearly_dead_experts{.title = "Nearly dead experts",
                                .note = "experts with tokens, but less than a tenth of the mean",
                                .x_label = "step",
                                .curves = {},
                                .from_zero = true};
  LineChart dead_experts{
      .title = "Dead experts", .note = "experts without a token", .x_label = "step", .curves = {}, .from_zero = true};
};

UnevennessCharts unevenness_charts(const Inspection& i) {
  const RunHistory& h = i.history;
  const LoadSeries series = load_series(i);
  UnevennessCharts charts;
  charts.imbalance.cut_beginning = true;
  if (!series.steps.empty()) {
    charts.imbalance.note += "; " + series.source;
    charts.dead_experts.note += "; " + series.source;
    charts.imbalance.curves = layer_curves(i, series, max_over_mean);
    charts.dead_experts.curves = layer_curves(i, series, dead);
    charts.effective.curves = layer_curves(i, series, effective_share);
    charts.nearly_dead_experts.curves = layer_curves(i, series, nearly_dead);
  } else {
    charts.imbalance.curves = {train_curve("worst layer", h, [](const TrainPoint& p) { return p.max_over_mean; })};
    charts.dead_experts.curves = {train_curve("all layers", h, [](const TrainPoint& p) { return p.dead; })};
  }
  return charts;
}

// For a run whose number of experts changed.
void add_experts_chart(std::vector<LineChart>& charts, const RunHistory& h) {
  const auto changed = [](const LifecyclePoint& p) { return p.experts_before != p.experts_after; };
  if (std::none_of(h.lifecycle.begin(), h.lifecycle.end(), changed)) return;
  const auto experts = [](const TrainPoint& p) {
    return p.load.empty() ? kAbsent : static_cast<double>(p.load[0].size());
  };
  charts.push_back({.title = "Experts",
                    .note = "experts of each MoE layer",
                    .x_label = "step",
                    .curves = {train_curve("experts", h, experts)},
                    .from_zero = true});
}

// For a run that dropped assignments.
void add_drop_charts(std::vector<LineChart>& charts, const RunHistory& h) {
  LineChart drops{.title = "Dropped",
                  .note = "share of the assignments, mean over layers",
                  .x_label = "step",
                  .curves = {train_curve("dropped", h, [](const TrainPoint& p) { return p.dropped; })},
                  .from_zero = true};
  if (!any_positive(drops.curves)) return;
  charts.push_back(drops);
  charts.push_back({.title = "Capacity",
                    .note = "multiple of the fair share, mean over layers",
                    .x_label = "step",
                    .curves = {named_curve(h, &TrainPoint::measures, "capacity")}});
  LineChart losses{.title = "Loss by drops",
                   .note = "nats, mean over layers: tokens with dropped assignments and other tokens",
                   .x_label = "step",
                   .curves = {named_curve(h, &TrainPoint::measures, "loss_dropped"),
                              named_curve(h, &TrainPoint::measures, "loss_kept")}};
  losses.cut_beginning = true;
  charts.push_back(losses);
}

// The entropy of uniform probabilities, summed over the layers, for the number of experts at that time.
double uniform_entropy(const Inspection& i, const TrainPoint& p) {
  double sum = 0;
  for (size_t layer = 0; layer < i.layers.size(); ++layer) {
    const double experts = layer < p.load.size() ? static_cast<double>(p.load[layer].size())
                                                 : static_cast<double>(i.layers[layer].experts());
    sum += std::log(experts) / static_cast<double>(i.layers.size());
  }
  return sum > 0 ? sum : kAbsent;
}

void add_entropy_chart(std::vector<LineChart>& charts, const Inspection& i) {
  const auto has_choice = [](const LayerStats& layer) { return layer.experts() > 1; };
  if (std::none_of(i.layers.begin(), i.layers.end(), has_choice)) return;
  const auto entropy = [&](const TrainPoint& p) { return p.router_entropy / uniform_entropy(i, p); };
  charts.push_back({.title = "Router entropy",
                    .note = "mean, divided by ln(experts): 1 is uniform, 0 is one-hot",
                    .x_label = "step",
                    .curves = {train_curve("entropy", i.history, entropy)}});
}

void add_balance_loss_charts(std::vector<LineChart>& charts, const RunHistory& h) {
  for (const std::string& name : names_in(h, &TrainPoint::balance)) {
    LineChart chart{.title = fmt::format("Balance loss: {}", name),
                    .note = "mean over layers, without its coefficient",
                    .x_label = "step",
                    .curves = {named_curve(h, &TrainPoint::balance, name)}};
    chart.cut_beginning = true;
    charts.push_back(chart);
  }
}

}  // namespace

std::string balance_plots(const Inspection& i) {
  if (i.layers.empty()) return "";
  const UnevennessCharts unevenness = unevenness_charts(i);
  std::vector<LineChart> charts{unevenness.imbalance};
  add_experts_chart(charts, i.history);
  if (!unevenness.effective.curves.empty()) charts.push_back(unevenness.effective);
  if (any_positive(unevenness.dead_experts.curves)) charts.push_back(unevenness.dead_experts);
  if (any_positive(unevenness.nearly_dead_experts.curves)) charts.push_back(unevenness.nearly_dead_experts);
  add_drop_charts(charts, i.history);
  add_entropy_chart(charts, i);
  add_balance_loss_charts(charts, i.history);
  for (LineChart& chart : charts) chart.moments = lifecycle_moments(i.history);
  return draw(charts);
}

std::string load_plots(const Inspection& i) {
  const LoadSeries series = load_series(i);
  if (i.layers.empty() || series.steps.size() < 2) return "";
  std::string figures;
  const auto shown = static_cast<int64_t>(std::min(i.layers.size(), kMaxLoadMaps));
  for (int64_t n = 0; n < shown; ++n) {
    const auto layer = static_cast<size_t>(share_of(static_cast<int64_t>(i.layers.size()), shown, n).begin);
    LoadOverTime map{fmt::format("Layer {}", i.layers[layer].layer), series.steps, {}};
    for (const LoadShares& loads : series.loads) map.loads.push_back(loads[layer]);
    figures += draw(map);
  }
  return figures;
}

}  // namespace moe
