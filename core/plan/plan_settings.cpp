#include "core/plan/plan_settings.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>

#include <fmt/core.h>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/metric_keys.h"
#include "core/base/units.h"
#include "core/config/recompute.h"
#include "core/trace/step_trace.h"

namespace moe {
namespace {

constexpr int64_t kOverlaps[] = {1, 2, 4};
constexpr size_t kMostTraced = 50;  // steps of a trace

const char* word(bool value) {
  return value ? "true" : "false";
}

class Planner {
 public:
  explicit Planner(const PlanRequest& request) : r_(request) {}

  double seconds(const PlanSetting& setting) const { return predicted("", setting).prediction.step; }
  PlannedSetting plan(const std::string& name, const PlanSetting& setting) {
    PlannedSetting p = predicted(name, setting);
    p.bytes = bytes(setting);
    return p;
  }

  bool fits(const PlannedSetting& p) const {
    return r_.network.compute.bytes == 0 || p.bytes <= r_.network.compute.bytes;
  }

 private:
  PlannedSetting predicted(const std::string& name, const PlanSetting& setting) const {
    PlannedSetting p{.name = name, .setting = setting, .prediction = {}};
    const size_t steps = std::max<size_t>(r_.trace.size(), 1);
    for (size_t i = 0; i < steps; ++i) {
      PlannedStep shape = r_.shape;
      if (!r_.trace.empty()) {
        shape.imbalance.clear();
        for (const auto& shares : r_.trace[i]) shape.imbalance.push_back(imbalance_of(shares, setting.expert));
      }
      const Prediction one = predict(r_.model, shape, r_.ranks, r_.network, setting);
      p.longest = std::max(p.longest, one.step);
      for (const auto part : {&Prediction::step, &Prediction::compute, &Prediction::forward, &Prediction::backward,
                              &Prediction::exchange, &Prediction::reduction, &Prediction::update}) {
        p.prediction.*part += one.*part / static_cast<double>(steps);
      }
    }
    return p;
  }

  double bytes(const PlanSetting& s) {
    const auto key = std::tuple(s.expert, s.overlap, s.hierarchical, s.recompute, s.shard, s.micro_batches);
    const auto known = known_.find(key);
    return known != known_.end() ? known->second : known_[key] = r_.bytes(s);
  }

  const PlanRequest& r_;
  std::map<std::tuple<int64_t, int64_t, bool, std::string, bool, int64_t>, double> known_;
};

// The settings that differ from `from` in one thing.
std::vector<std::pair<std::string, PlanSetting>> changed_in_one(const PlanRequest& r) {
  std::vector<std::pair<std::string, PlanSetting>> result;
  const auto change = [&](const std::string& name, auto set) {
    PlanSetting s = r.setting;
    set(s);
    result.emplace_back(name, s);
  };
  const bool during = !r.setting.reduce_during_backward, shard = !r.setting.shard;
  change(fmt::format("parallel.reduce_during_backward: {}", word(during)),
         [&](PlanSetting& s) { s.reduce_during_backward = during; });
  for (const int64_t n : kOverlaps) {
    if (n != r.setting.overlap) change(fmt::format("parallel.overlap: {}", n), [&](PlanSetting& s) { s.overlap = n; });
  }
  change(fmt::format("parallel.all_to_all: {}", r.setting.hierarchical ? "direct" : "hierarchical"),
         [&](PlanSetting& s) { s.hierarchical = !s.hierarchical; });
  for (const std::string& value : recompute_values()) {
    if (value != r.setting.recompute) change("model.recompute: " + value, [&](PlanSetting& s) { s.recompute = value; });
  }
  change(fmt::format("optimizer.shard: {}", word(shard)), [&](PlanSetting& s) { s.shard = shard; });
  for (const int64_t n : r.micro_batches) {
    if (n != r.setting.micro_batches)
      change(fmt::format("train.micro_batches: {}", n), [&](PlanSetting& s) { s.micro_batches = n; });
  }
  for (const int64_t width : r.widths) {
    if (width != r.setting.expert)
      change(fmt::format("parallel.expert: {}", width), [&](PlanSetting& s) { s.expert = width; });
  }
  return result;
}

// The combinations of all values, those with fewer changes first.
std::vector<PlanSetting> all_settings(const PlanRequest& r) {
  std::vector<PlanSetting> settings{r.setting};
  for (const int64_t micro_batches : r.micro_batches) {
    for (const int64_t width : r.widths) {
      for (const std::string& recompute : recompute_values()) {
        for (const bool shard : {false, true}) {
          for (const bool hierarchical : {false, true}) {
            for (const int64_t overlap : kOverlaps) {
              settings.push_back({.expert = width,
                                  .reduce_during_backward = true,
                                  .overlap = overlap,
                                  .hierarchical = hierarchical,
                                  .recompute = recompute,
                                  .shard = shard,
                                  .micro_batches = micro_batches});
            }
          }
        }
      }
    }
  }
  return settings;
}

// Memory takes longer to plan than time, so it is planned for the fastest settings alone, until one fits. Of settings
// that are equally fast, the first one is taken.
std::optional<PlannedSetting> best_of_all(Planner& planner, const PlanRequest& r) {
  const std::vector<PlanSetting> settings = all_settings(r);
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < settings.size(); ++i) {
    // Differences of less than a thousandth are none.
    order.emplace_back(std::round(std::log(planner.seconds(settings[i])) * 1000), i);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [seconds, i] : order) {
    PlannedSetting p = planner.plan("", settings[i]);
    if (planner.fits(p)) return p;
  }
  return std::nullopt;
}

std::string line(const std::string& name, const PlannedSetting& p, bool fits) {
  return fmt::format("  {:<42} {:>10.1f} {:>7.1f} {:>11.1f} {:>11.1f} {:>11}{}\n", name, p.prediction.step * 1e3,
                     100 * p.prediction.lost(), p.prediction.exchange * 1e3, p.prediction.reduction * 1e3,
                     format_bytes(p.bytes), fits ? "" : " too large");
}

}  // namespace

SettingsPlan plan_settings(const PlanRequest& request) {
  Planner planner(request);
  SettingsPlan plan{.configured = planner.plan("as configured", request.setting), .changed = {}, .best = {}};
  for (const auto& [name, setting] : changed_in_one(request)) plan.changed.push_back(planner.plan(name, setting));
  plan.best = best_of_all(planner, request);
  return plan;
}

std::string to_words(const PlanSetting& s) {
  return fmt::format(
      "parallel.expert: {}, parallel.reduce_during_backward: {}, parallel.overlap: {}, parallel.all_to_all: {}, "
      "model.recompute: {}, optimizer.shard: {}, train.micro_batches: {}",
      s.expert, word(s.reduce_during_backward), s.overlap, s.hierarchical ? "hierarchical" : "direct", s.recompute,
      word(s.shard), s.micro_batches);
}

std::string to_words(const SettingsPlan& plan, const PlanRequest& request) {
  const double limit = request.network.compute.bytes;
  const auto fits = [&](const PlannedSetting& p) { return limit == 0 || p.bytes <= limit; };
  const Prediction& p = plan.configured.prediction;
  std::string text = fmt::format(
      "\nplanned step on {:.0f} ranks, {:.0f} per host, with the network \"{}\" (an estimate, not measured)\n"
      "  {:.1f} ms: forward {:.1f}, backward {:.1f}, sums of gradients after backward {:.1f}, update {:.1f}\n"
      "  {:.1f} ms without communication; {:.0f} tokens/s\n",
      request.ranks.ranks, request.ranks.per_host, request.network.name, p.step * 1e3, p.forward * 1e3,
      p.backward * 1e3, p.reduction * 1e3, p.update * 1e3, p.compute * 1e3,
      request.shape.tokens * request.ranks.ranks / p.step);
  if (!request.trace.empty()) {
    text += fmt::format("  mean of {} recorded steps' loads; the longest takes {:.1f} ms\n", request.trace.size(),
                        plan.configured.longest * 1e3);
  }
  text += fmt::format("\n  {:<42} {:>10} {:>7} {:>11} {:>11} {:>11}\n", "setting", "ms", "lost %", "exchange ms",
                      "gradient ms", "per rank");
  text += line("as configured", plan.configured, fits(plan.configured));
  for (const PlannedSetting& c : plan.changed) text += line("with " + c.name, c, fits(c));
  if (!plan.best) return text + fmt::format("  no setting fits the {} of a device\n", format_bytes(limit));
  text += line("the best of all combinations", *plan.best, true);
  return text + "\nbest: " + to_words(plan.best->setting) + "\n";
}

// The shares of a traced layer's choices.
static std::vector<double> shares_of(const LayerTrace& layer) {
  std::vector<double> shares(static_cast<size_t>(layer.experts));
  double all = 0;
  for (const int32_t expert : layer.chosen) {
    if (expert == kNoExpert) continue;
    shares[static_cast<size_t>(expert)] += 1;
    all += 1;
  }
  for (double& share : shares) share /= std::max(all, 1.0);
  return shares;
}

// The loads of the last steps that the run in this folder traced.
static RoutingTrace read_traced_steps(const std::string& run, int64_t experts) {
  RoutingTrace trace;
  std::vector<int64_t> steps = traced_steps(run, "training");
  if (steps.size() > kMostTraced) steps.erase(steps.begin(), steps.end() - static_cast<int64_t>(kMostTraced));
  for (const int64_t step : steps) {
    const StepTrace traced = StepTraceFile(trace_path(run, "training", step)).all();
    std::vector<std::vector<double>>& loads = trace.emplace_back();
    for (const LayerTrace& layer : traced.layers) {
      loads.push_back(shares_of(layer));
      if (layer.experts == experts) continue;
      raise<DataError>("{} has traces of {} experts, and the configuration has {}; give a run with as many", run,
                       layer.experts, experts);
    }
  }
  if (trace.empty())
    raise<DataError>("{} has no traces of training; give a run with trace.every, or a run's metrics.jsonl", run);
  return trace;
}

RoutingTrace read_routing_trace(const std::string& path, int64_t experts) {
  if (std::filesystem::is_directory(path)) return read_traced_steps(path, experts);
  RoutingTrace trace;
  std::ifstream file(path);
  if (!file) raise<DataError>("cannot read {}; give a run's metrics.jsonl", path);
  for (std::string text; std::getline(file, text);) {
    const Json record = parse_json_or_null(text);
    const Json *type = record.find(metric_keys::kType), *load = record.find(metric_keys::kLoad);
    if (!type || *type != metric_keys::kTrain || !load || !load->is_array() || load->empty()) continue;
    std::vector<std::vector<double>> step;
    try {
      for (const Json& layer : *load) step.push_back(layer.get<std::vector<double>>());
    } catch (const JsonError&) {
      continue;  // a damaged line
    }
    for (const auto& shares : step) {
      if (std::ssize(shares) == experts) continue;
      raise<DataError>("{} has loads of {} experts, and the configuration has {}; give a run with as many", path,
                       shares.size(), experts);
    }
    trace.push_back(std::move(step));
  }
  if (trace.empty()) raise<DataError>("{} has no record of training with the experts' loads", path);
  if (trace.size() > kMostTraced) trace.erase(trace.begin(), trace.end() - static_cast<int64_t>(kMostTraced));
  return trace;
}

}  // namespace moe
