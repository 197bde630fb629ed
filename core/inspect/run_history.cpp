#include "core/inspect/run_history.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/json.h"

namespace moe {

using nlohmann::json;

static double number(const json& record, const char* key) {
  const auto it = record.find(key);
  return it != record.end() && it->is_number() ? it->get<double>() : kAbsent;
}

static double quality(const json& record) {
  const char* bits = kBitsPerCharacter.key;
  return record.contains(bits) ? number(record, bits) : 100 * (1 - number(record, "accuracy"));
}

// Empty unless the entry is a list of lists of numbers.
static LoadShares load_shares(const json& record) {
  const auto it = record.find("load");
  if (it == record.end() || !it->is_array()) return {};
  LoadShares shares;
  for (const json& layer : *it) {
    if (!layer.is_array() || layer.empty()) return {};
    std::vector<double>& list = shares.emplace_back();
    for (const json& share : layer) {
      if (!share.is_number()) return {};
      list.push_back(share.get<double>());
    }
  }
  return shares;
}

static std::map<std::string, double> named_numbers(const json& record, const char* key) {
  std::map<std::string, double> numbers;
  const auto it = record.find(key);
  if (it == record.end() || !it->is_object()) return numbers;
  for (const auto& [name, value] : it->items()) {
    if (value.is_number()) numbers[name] = value.get<double>();
  }
  return numbers;
}

static EvaluationPoint evaluation_point(int64_t step, const json& r) {
  EvaluationPoint e{step, number(r, "loss"), quality(r), load_shares(r)};
  e.tokens = number(r, "tokens");
  e.stride = number(r, "stride");
  if (const auto it = r.find("data"); it != r.end() && it->is_string()) e.data = it->get<std::string>();
  return e;
}

static std::optional<CurriculumPoint> curriculum_point(const json& record) {
  const auto it = record.find("curriculum");
  if (it == record.end() || !it->is_object()) return std::nullopt;
  CurriculumPoint point{number(*it, "open"), number(*it, "seen"), named_numbers(*it, "drawn"),
                        named_numbers(*it, "wanted")};
  const json difficulty = it->value("difficulty", json::object());
  for (const auto& [name, quantiles] : difficulty.items()) {
    const bool intact = quantiles.is_array() && quantiles.size() == 3 &&
                        std::all_of(quantiles.begin(), quantiles.end(), [](const json& q) { return q.is_number(); });
    if (intact) point.difficulty[name] = quantiles.get<std::array<double, 3>>();
  }
  return point;
}

static TrainPoint train_point(int64_t step, const json& r) {
  TrainPoint p;
  p.step = step;
  p.tokens = number(r, "tokens");
  p.loss = number(r, "loss");
  p.quality = quality(r);
  p.auxiliary = number(r, "aux");
  p.norm = number(r, "norm");
  p.learning_rate = number(r, "lr");
  p.milliseconds = number(r, "ms");
  p.tokens_per_second = number(r, "tokens_per_s");
  p.router_entropy = number(r, "router_entropy");
  p.max_over_mean = number(r, "load_max_over_mean");
  p.dead = number(r, "dead");
  p.dropped = number(r, "drop");
  p.balance = named_numbers(r, "balance");
  p.measures = named_numbers(r, "measures");
  p.paced = named_numbers(r, "paced");
  p.curriculum = curriculum_point(r);
  p.load = load_shares(r);
  return p;
}

static std::string text(const json& record, const char* key) {
  const auto it = record.find(key);
  return it != record.end() && it->is_string() ? it->get<std::string>() : "";
}

static LifePoint life_point(int64_t step, const json& r) {
  LifePoint p;
  p.step = step;
  p.kind = text(r, "kind");
  if (const double layer = number(r, "layer"); !std::isnan(layer)) p.layer = static_cast<int64_t>(layer);
  p.experts_before = number(r, "experts_before");
  p.experts_after = number(r, "experts_after");
  p.what = text(r, "what");
  p.why = text(r, "why");
  const auto preserved = r.find("preserved");
  p.preserved = preserved != r.end() && preserved->is_boolean() && preserved->get<bool>();
  p.loss_before = number(r, "loss_before");
  p.loss_after = number(r, "loss_after");
  return p;
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
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    const json record = parse_json_or_discard(line);
    const bool intact = record.is_object() && record.contains("step") && record["step"].is_number_integer() &&
                        record.contains("type") && record["type"].is_string();
    if (!intact) {
      ++history.damaged_lines;
      continue;
    }
    const auto step = record["step"].get<int64_t>();
    if (record["type"] == "stopped") history.stopped = step;
    if (record["type"] == "life") history.life.push_back(life_point(step, record));
    if (record["type"] == "train") train[step] = train_point(step, record);
    if (record["type"] != "eval") continue;
    evaluations[step] = evaluation_point(step, record);
    history.judged_by = record.contains(kBitsPerCharacter.key) ? &kBitsPerCharacter : &kErrorRate;
  }
  history.train = in_order(std::move(train));
  history.evaluations = in_order(std::move(evaluations));
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
