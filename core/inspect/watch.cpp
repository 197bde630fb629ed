#include "core/inspect/watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/units.h"
#include "core/checkpoint/files.h"
#include "core/inspect/report_table.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLabelColumns = 14, kFigureColumns = 10;

int64_t updates_of(const WatchedRun& run) {
  const Json* updates = run.manifest.find("updates");
  return updates && updates->is_number() ? static_cast<int64_t>(updates->get<double>()) : 0;
}

int64_t step_of(const RunHistory& history) {
  const int64_t trained = history.train.empty() ? 0 : history.train.back().step;
  return history.evaluations.empty() ? trained : std::max(trained, history.evaluations.back().step);
}

std::string state_of(const WatchedRun& run, const Painter& paint) {
  const RunHistory& h = run.history;
  if (h.diverged) return paint(Colour::red, fmt::format("diverged at step {}", *h.diverged));
  if (h.stopped) return fmt::format("stopped early at step {}", *h.stopped);
  if (run.is_over()) return "finished";
  if (h.train.empty()) return "no update yet";
  // A record is late when ten would have been written since the last one.
  const TrainPoint& last = h.train.back();
  const int64_t between = h.train.size() < 2 ? last.step : last.step - h.train[h.train.size() - 2].step;
  const double expected = std::max(1.0, last.milliseconds / 1000 * static_cast<double>(between));
  const std::string silent = fmt::format("last record {} ago", format_seconds(run.silent_seconds));
  return run.silent_seconds > 10 * expected + 60 ? paint(Colour::yellow, silent) : silent;
}

std::string progress_lines(const WatchedRun& run, int64_t columns, const Painter& paint) {
  const int64_t updates = updates_of(run), step = step_of(run.history);
  const double share = updates > 0 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(updates)) : 0;
  std::string text = fmt::format("{}  step {}/{} ({:.0f} %)  {}\n", paint(Colour::bold, run.folder), step,
                                 updates > 0 ? std::to_string(updates) : "?", 100 * share, state_of(run, paint));
  const auto filled = static_cast<size_t>(share * static_cast<double>(columns - 2));
  text += "[" + std::string(filled, '#') + std::string(static_cast<size_t>(columns - 2) - filled, '-') + "]\n";
  if (run.history.train.empty()) return text;
  const TrainPoint& last = run.history.train.back();
  text += fmt::format("{} tokens  {} tokens/s  {:.0f} ms/step", count_text(last.tokens),
                      count_text(last.tokens_per_second), last.milliseconds);
  if (!run.is_over() && updates > step)
    text += fmt::format("  {} left", format_seconds(static_cast<double>(updates - step) * last.milliseconds / 1000));
  return text + "\n";
}

// A name, the latest value and the curve. Nothing if no value is known.
std::string curve_line(const std::string& name, const std::vector<double>& values, int64_t columns) {
  const auto known = std::find_if(values.rbegin(), values.rend(), [](double value) { return std::isfinite(value); });
  if (known == values.rend()) return "";
  return fmt::format("{:<{}}{:>{}.5g}  {}\n", name, kLabelColumns, *known, kFigureColumns,
                     sparkline(values, columns - kLabelColumns - kFigureColumns - 2));
}

std::string curves(const RunHistory& history, int64_t columns) {
  struct Line {
    const char* name;
    double TrainPoint::*value;
  };
  static constexpr Line kLines[] = {{"gradient norm", &TrainPoint::norm},
                                    {"learning rate", &TrainPoint::learning_rate},
                                    {"max/mean load", &TrainPoint::max_over_mean},
                                    {"dead experts", &TrainPoint::dead},
                                    {"dropped", &TrainPoint::dropped}};
  const std::string& quality = history.judged_by->key;
  std::vector<double> trained, evaluated;
  for (const TrainPoint& point : history.train)
    trained.push_back(std::isnan(point.quality) ? point.loss : point.quality);
  for (const EvaluationPoint& point : history.evaluations)
    evaluated.push_back(std::isnan(point.quality) ? point.loss : point.quality);
  std::string text = curve_line(quality, trained, columns) + curve_line("validation", evaluated, columns);
  for (const Line& line : kLines) {
    std::vector<double> values;
    for (const TrainPoint& point : history.train) values.push_back(point.*line.value);
    // What never happens needs no line.
    if (std::all_of(values.begin(), values.end(), [](double value) { return value == 0; })) continue;
    text += curve_line(line.name, values, columns);
  }
  return text;
}

// A line for each layer; of more than `rows` layers, those with the largest imbalance.
std::string loads(const RunHistory& history, int64_t columns, int64_t rows, const Painter& paint) {
  if (history.train.empty() || history.train.back().load.empty()) return "";
  struct Layer {
    size_t number;
    std::vector<double> relative;
    double largest;
    int64_t dead;
  };
  std::vector<Layer> layers;
  for (const std::vector<double>& shares : history.train.back().load) {
    Layer layer{.number = layers.size(), .relative = {}, .largest = 0, .dead = 0};
    for (const double share : shares) layer.relative.push_back(share * static_cast<double>(shares.size()));
    layer.largest = *std::max_element(layer.relative.begin(), layer.relative.end());
    layer.dead = std::count(layer.relative.begin(), layer.relative.end(), 0.0);
    layers.push_back(std::move(layer));
  }
  const size_t all = layers.size();
  if (std::ssize(layers) > rows) {
    std::stable_sort(layers.begin(), layers.end(),
                     [](const Layer& a, const Layer& b) { return a.largest > b.largest; });
    layers.resize(static_cast<size_t>(std::max<int64_t>(rows, 1)));
  }
  std::string text = layers.size() < all
                         ? fmt::format("loads of the {} least balanced of {} layers\n", layers.size(), all)
                         : "loads of the experts by layer\n";
  constexpr int64_t kBefore = 5, kBehind = 26;
  for (const Layer& layer : layers) {
    text += fmt::format("{:>4} {}  max {:.2f}x the mean{}\n", layer.number,
                        load_bars(layer.relative, columns - kBefore - kBehind, paint), layer.largest,
                        layer.dead == 0 ? "" : paint(Colour::red, fmt::format(", {} dead", layer.dead)));
  }
  return text;
}

std::string events(const RunHistory& history) {
  std::string text;
  if (const EvaluationPoint* best = history.best())
    text += fmt::format("best evaluation: {:.4f} {} at step {}\n", best->quality, history.judged_by->key, best->step);
  if (!history.lifecycle.empty()) {
    const LifecyclePoint& last = history.lifecycle.back();
    text += fmt::format("experts changed at step {}: {}, layer {}: {}\n", last.step, last.kind, last.layer, last.what);
  }
  return text;
}

}  // namespace

bool WatchedRun::is_over() const {
  const int64_t updates = updates_of(*this);
  return history.diverged || history.stopped || (updates > 0 && step_of(history) >= updates);
}

WatchedRun read_watched_run(const std::string& folder) {
  WatchedRun run{.folder = folder};
  const std::string records = folder + "/metrics.jsonl";
  if (!fs::exists(folder + "/config.yaml") && !fs::exists(records))
    raise<CheckpointError>("{} is not the folder of a run: it has no config.yaml and no metrics.jsonl", folder);
  if (fs::exists(folder + "/manifest.json")) run.manifest = parse_json_or_null(read_text(folder + "/manifest.json"));
  run.history = read_history(records);
  std::error_code error;
  const auto written = fs::last_write_time(records, error);
  if (!error)
    run.silent_seconds =
        std::max(0.0, std::chrono::duration<double>(fs::file_time_type::clock::now() - written).count());
  return run;
}

std::string watch_screen(const WatchedRun& run, int64_t columns, int64_t rows, const Painter& paint) {
  columns = std::clamp<int64_t>(columns, 60, 160);
  std::string text = progress_lines(run, columns, paint) + "\n" + curves(run.history, columns) + "\n";
  const auto used = std::count(text.begin(), text.end(), '\n') + 4;
  return text + loads(run.history, columns, std::max<int64_t>(3, rows - used), paint) + events(run.history);
}

}  // namespace moe
