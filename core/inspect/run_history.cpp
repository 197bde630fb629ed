#include "core/inspect/run_history.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/base/json_text.h"
#include "core/base/metric_keys.h"
#include "core/record/old_records.h"

namespace moe {

static double number(const Json& record, const char* key) {
  const Json* it = record.find(key);
  return it && it->is_number() ? it->get<double>() : kAbsent;
}

// The metric that a record is judged by: the first one in the table of metrics that runs are judged by and that the
// record has; null if there is none.
static const Metric* judging_metric(const Json& record) {
  for (const Metric& metric : metrics()) {
    if (metric.quality.of && record.contains(metric.name)) return &metric;
  }
  return nullptr;
}

static double quality(const Json& record) {
  const Metric* metric = judging_metric(record);
  return metric ? metric->quality.of(number(record, metric->name)) : kAbsent;
}

// Empty unless the entry is a list of lists of numbers.
static LoadShares load_shares(const Json& record) {
  const Json* it = record.find(metric_keys::kLoad);
  if (!it || !it->is_array()) return {};
  LoadShares shares;
  for (const Json& layer : *it) {
    if (!layer.is_array() || layer.empty()) return {};
    std::vector<double>& list = shares.emplace_back();
    for (const Json& share : layer) {
      if (!share.is_number()) return {};
      list.push_back(share.get<double>());
    }
  }
  return shares;
}

static std::map<std::string, double> named_numbers(const Json& record, const char* key) {
  std::map<std::string, double> numbers;
  const Json* it = record.find(key);
  if (!it || !it->is_object()) return numbers;
  for (const auto& [name, value] : it->items()) {
    if (value.is_number()) numbers[name] = value.get<double>();
  }
  return numbers;
}

// Nothing if the lists are not complete.
static std::vector<EvaluatedPart> evaluated_parts(const Json& r) {
  const Json* parts = r.find(metric_keys::kParts);
  if (!parts || !parts->is_object()) return {};
  const auto numbers = [&](const char* key) {
    std::vector<double> values;
    const Json* it = parts->find(key);
    if (!it || !it->is_array()) return values;
    for (const Json& value : *it) values.push_back(value.is_number() ? value.get<double>() : kAbsent);
    return values;
  };
  const std::vector<double> losses = numbers(metric_keys::kLoss), tokens = numbers(metric_keys::kTokens),
                            correct = numbers(metric_keys::kCorrect);
  if (losses.size() != tokens.size() || losses.size() != correct.size()) return {};
  std::vector<EvaluatedPart> result;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (!std::isfinite(losses[i] + tokens[i] + correct[i])) return {};
    result.push_back({losses[i], tokens[i], correct[i]});
  }
  return result;
}

static EvaluationPoint evaluation_point(int64_t step, const Json& r) {
  EvaluationPoint e{.step = step, .loss = number(r, metric_keys::kLoss), .quality = quality(r), .load = load_shares(r)};
  e.tokens = number(r, metric_keys::kTokens);
  e.stride = number(r, metric_keys::kStride);
  if (const Json* it = r.find(metric_keys::kData); it && it->is_string()) e.data = it->get<std::string>();
  e.parts = evaluated_parts(r);
  return e;
}

static std::optional<CurriculumPoint> curriculum_point(const Json& record) {
  const Json* it = record.find(metric_keys::kCurriculum);
  if (!it || !it->is_object()) return std::nullopt;
  CurriculumPoint point{.open = number(*it, "open"),
                        .seen = number(*it, "seen"),
                        .drawn = named_numbers(*it, "drawn"),
                        .wanted = named_numbers(*it, "wanted")};
  const Json difficulty = it->value("difficulty", Json::object());
  for (const auto& [name, quantiles] : difficulty.items()) {
    const bool intact = quantiles.is_array() && quantiles.size() == 3 &&
                        std::all_of(quantiles.begin(), quantiles.end(), [](const Json& q) { return q.is_number(); });
    if (intact) point.difficulty[name] = quantiles.get<std::array<double, 3>>();
  }
  return point;
}

static TrainPoint train_point(int64_t step, const Json& r) {
  TrainPoint p;
  p.step = step;
  p.tokens = number(r, metric_keys::kTokens);
  p.loss = number(r, metric_keys::kLoss);
  p.quality = quality(r);
  p.auxiliary = number(r, metric_keys::kAuxiliary);
  p.norm = number(r, metric_keys::kNorm);
  p.learning_rate = number(r, metric_keys::kLearningRate);
  p.milliseconds = number(r, metric_keys::kMilliseconds);
  p.tokens_per_second = number(r, metric_keys::kTokensPerSecond);
  p.router_entropy = number(r, metric_keys::kRouterEntropy);
  p.max_over_mean = number(r, metric_keys::kLoadMaxOverMean);
  p.dead = number(r, metric_keys::kDead);
  p.dropped = number(r, metric_keys::kDropped);
  p.balance = named_numbers(r, metric_keys::kBalance);
  p.measures = named_numbers(r, metric_keys::kMeasures);
  p.scheduled = named_numbers(r, metric_keys::kScheduled);
  if (const Json* sources = r.find(metric_keys::kSources); sources && sources->is_object()) {
    for (const Json::Member& source : sources->items()) {
      p.source_losses[source.key] = number(source.value, "loss");
      p.source_shares[source.key] = number(source.value, "share");
    }
  }
  p.curriculum = curriculum_point(r);
  p.load = load_shares(r);
  return p;
}

static std::string text(const Json& record, const char* key) {
  const Json* it = record.find(key);
  return it && it->is_string() ? it->get<std::string>() : "";
}

static LifecyclePoint lifecycle_point(int64_t step, const Json& r) {
  LifecyclePoint p;
  p.step = step;
  p.kind = text(r, metric_keys::kKind);
  if (const double layer = number(r, metric_keys::kLayer); !std::isnan(layer)) p.layer = static_cast<int64_t>(layer);
  p.experts_before = number(r, metric_keys::kExpertsBefore);
  p.experts_after = number(r, metric_keys::kExpertsAfter);
  p.what = text(r, metric_keys::kWhat);
  p.why = text(r, metric_keys::kWhy);
  const Json* preserved = r.find(metric_keys::kPreserved);
  p.preserved = preserved && preserved->is_boolean() && preserved->get<bool>();
  p.loss_before = number(r, metric_keys::kLossBefore);
  p.loss_after = number(r, metric_keys::kLossAfter);
  return p;
}

static PlacementPoint placement_point(int64_t step, const Json& r) {
  PlacementPoint p;
  p.step = step;
  p.kind = text(r, metric_keys::kKind);
  const Json* layers = r.find(metric_keys::kLayers);
  if (!layers || !layers->is_array() || layers->empty()) return p;
  const auto largest = [&](double& to, const Json& layer, const char* key) { to = std::fmax(to, number(layer, key)); };
  const auto mean = [&](const char* key) {
    double sum = 0;
    for (const Json& layer : *layers) sum += number(layer, key);
    return sum / static_cast<double>(layers->size());
  };
  for (const Json& layer : *layers) {
    largest(p.busiest_before, layer, metric_keys::kBusiestBefore);
    largest(p.busiest_after, layer, metric_keys::kBusiestAfter);
    if (const double moved = number(layer, metric_keys::kMoved); !std::isnan(moved)) p.moved += moved;
    if (const double copies = number(layer, metric_keys::kCopies); !std::isnan(copies)) {
      p.copies = std::isnan(p.copies) ? copies : p.copies + copies;
    }
  }
  p.together_before = mean(metric_keys::kTogetherBefore);
  p.together_after = mean(metric_keys::kTogetherAfter);
  return p;
}

static const Json& list(const Json& record, const char* key) {
  static const Json kEmpty = Json::array();
  const Json* it = record.find(key);
  return it && it->is_array() ? *it : kEmpty;
}

static int64_t layer_of(const Json& record) {
  const Json* it = record.find(metric_keys::kLayer);
  return it && it->is_integer() ? it->get<int64_t>() : -1;
}

static constexpr double kLongest = 1e9;  // seconds of a step, and times of it that may be lost; more is damage

static CommunicationPoint communication_point(int64_t step, const Json& r) {
  CommunicationPoint p;
  p.step = step;
  p.ranks = number(r, metric_keys::kRanks);
  p.hosts = number(r, metric_keys::kHosts);
  p.seconds = number(r, metric_keys::kSeconds);
  p.lost = number(r, metric_keys::kLost);
  if (std::abs(p.lost) >= kLongest) p.lost = kAbsent;
  for (const Json& row : list(r, metric_keys::kRows)) {
    if (!row.is_object()) continue;
    const auto count = [&](const char* key) {
      const double n = number(row, key);
      return std::isnan(n) ? 0 : n;
    };
    p.rows.push_back({.kind = text(row, metric_keys::kKind),
                      .layer = layer_of(row),
                      .bytes_inside = count(metric_keys::kBytesInside),
                      .bytes_between = count(metric_keys::kBytesBetween),
                      .messages = count(metric_keys::kMessagesInside) + count(metric_keys::kMessagesBetween),
                      .transfer = number(row, metric_keys::kTransfer),
                      .waiting = number(row, metric_keys::kWaiting),
                      .hidden = number(row, metric_keys::kHidden)});
  }
  return p;
}

// Phases and events that lack a number are left out.
static Timeline timeline(int64_t step, const Json& r) {
  Timeline t;
  t.step = step;
  t.rank = number(r, metric_keys::kRank);
  t.seconds = number(r, metric_keys::kSeconds);
  const auto is_interval = [](const auto& x) { return x.begin >= 0 && x.begin <= x.end && x.end < kLongest; };
  for (const Json& p : list(r, metric_keys::kPhases)) {
    if (!p.is_object()) continue;
    const Timeline::Phase phase{text(p, metric_keys::kName), number(p, metric_keys::kBegin),
                                number(p, metric_keys::kEnd)};
    if (is_interval(phase)) t.phases.push_back(phase);
  }
  for (const Json& e : list(r, metric_keys::kEvents)) {
    if (!e.is_object()) continue;
    const Timeline::Event event{.kind = text(e, metric_keys::kKind),
                                .layer = layer_of(e),
                                .begin = number(e, metric_keys::kBegin),
                                .end = number(e, metric_keys::kEnd),
                                .waiting = number(e, metric_keys::kWaiting),
                                .hidden = number(e, metric_keys::kHidden)};
    if (is_interval(event) && event.waiting >= 0 && event.hidden >= 0) t.events.push_back(event);
  }
  return t;
}

// Points in the order of steps; if a step was recorded twice, the later record is kept.
template <class Point>
static std::vector<Point> in_order(std::map<int64_t, Point>&& by_step) {
  std::vector<Point> points;
  for (auto& [step, point] : by_step) points.push_back(std::move(point));
  return points;
}

RunHistory read_history(const std::string& path) {
  RunHistory history;
  std::ifstream file(path);
  history.found = file.is_open();
  std::map<int64_t, TrainPoint> train;
  std::map<int64_t, EvaluationPoint> evaluations;
  std::map<int64_t, CommunicationPoint> communication;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    Json record = parse_json_or_null(line);
    update_record(record);
    const bool intact = record.is_object() && record.contains(metric_keys::kStep) &&
                        record[metric_keys::kStep].is_integer() && record.contains(metric_keys::kType) &&
                        record[metric_keys::kType].is_string();
    if (!intact) {
      ++history.damaged_lines;
      continue;
    }
    const auto step = record[metric_keys::kStep].get<int64_t>();
    const auto type = record[metric_keys::kType].get<std::string>();
    if (type == metric_keys::kStopped) history.stopped = step;
    if (type == metric_keys::kDiverged) history.diverged = step;
    if (type == metric_keys::kLifecycle) history.lifecycle.push_back(lifecycle_point(step, record));
    if (type == metric_keys::kPlacement) history.placements.push_back(placement_point(step, record));
    if (type == metric_keys::kCommunication) communication[step] = communication_point(step, record);
    if (type == metric_keys::kTimeline) history.timeline = timeline(step, record);
    if (type == metric_keys::kTrain) train[step] = train_point(step, record);
    if (type != metric_keys::kEvaluation) continue;
    evaluations[step] = evaluation_point(step, record);
    if (const Metric* metric = judging_metric(record)) history.judged_by = &metric->quality;
  }
  history.train = in_order(std::move(train));
  history.evaluations = in_order(std::move(evaluations));
  history.communication = in_order(std::move(communication));
  return history;
}

const EvaluationPoint* RunHistory::best() const {
  const EvaluationPoint* best = nullptr;
  for (const EvaluationPoint& e : evaluations) {
    if (!std::isnan(e.loss) && (!best || e.loss < best->loss)) best = &e;
  }
  return best;
}

}  // namespace moe
