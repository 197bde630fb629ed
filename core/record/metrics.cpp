#include "core/record/metrics.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include "core/base/json_text.h"
#include "core/base/metric_keys.h"
#include "core/base/units.h"
#include "core/checkpoint/files.h"
#include "core/record/old_records.h"

namespace moe {

// Whether a run that resumes at the record's step writes it again. A checkpoint is written before the expert events of
// moe.lifecycle of its step, except those that a signal ended, but after the alarm restarted experts, and before a run
// stops. `resumed` counts the records that are kept.
static bool happens_again(const Json& type, const Json& record, ResumedRecords& resumed) {
  if (type == metric_keys::kLifecycle) {
    if (record.value(metric_keys::kCause, "") == metric_keys::kAlarm) return resumed.alarm_writes_again;
    return --resumed.lifecycle_records < 0;
  }
  if (type == metric_keys::kEvaluation || type == metric_keys::kSample) return !resumed.step_finished;
  return type == metric_keys::kStopped || type == metric_keys::kDiverged;
}

MetricsFile::MetricsFile(const std::string& path, const std::optional<ResumedRecords>& resumed) : path_(path) {
  struct stat named {};
  if (::lstat(path.c_str(), &named) == 0 && S_ISLNK(named.st_mode))
    raise<CheckpointError>("{} is a link, which a run does not write through; remove it", path);
  std::string kept;
  bool dropped = false;
  ResumedRecords counted = resumed.value_or(ResumedRecords());
  std::ifstream old(path);
  for (std::string line; std::getline(old, line);) {
    auto record = parse_json_or_null(line);
    update_record(record);
    const Json *type = record.find(metric_keys::kType), *step = record.find(metric_keys::kStep);
    const bool intact = resumed && type && type->is_string() && step && step->is_integer();
    const int64_t at = intact ? step->get<int64_t>() : 0;
    const bool keep = intact && (at < resumed->step || (at == resumed->step && !happens_again(*type, record, counted)));
    if (keep) kept += line + "\n";
    dropped |= !keep;
  }
  if (dropped) replace_text(path, kept);
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  file_ = descriptor < 0 ? nullptr : ::fdopen(descriptor, "a");
  if (!file_) raise<CheckpointError>("cannot write {}: {}", path, std::strerror(errno));
}

MetricsFile::~MetricsFile() {
  if (file_) std::fclose(file_);
}

void MetricsFile::write(const std::string& type, int64_t step, Json record) {
  Json line = {
      {metric_keys::kSchema, metric_keys::kSchemaNumber}, {metric_keys::kType, type}, {metric_keys::kStep, step}};
  line.update(record);
  const std::string text = json_text_replacing(line) + "\n";
  struct stat open {
  }, named{};
  if (::fstat(::fileno(file_), &open) != 0 || ::lstat(path_.c_str(), &named) != 0 || open.st_ino != named.st_ino)
    raise<CheckpointError>("{} is gone: it was removed or replaced while the run was writing it", path_);
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0) {
    raise<CheckpointError>("cannot write {}: {}", path_, std::strerror(errno));
  }
}

void for_each_record(const std::string& path, FunctionRef<void(const std::string&, int64_t, const Json&)> visit) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json record = parse_json_or_null(line);
    const Json *type = record.find(metric_keys::kType), *step = record.find(metric_keys::kStep);
    if (type && type->is_string() && step && step->is_integer())
      visit(type->get<std::string>(), step->get<int64_t>(), record);
  }
}

std::optional<int64_t> recorded_checkpoint(const std::string& path) {
  std::optional<int64_t> found;
  for_each_record(path, [&](const std::string& type, int64_t step, const Json&) {
    if (type == metric_keys::kCheckpoint) found = step;
  });
  return found;
}

// Statistics of all MoE layers together.
struct LoadSummary {
  double max_over_mean = 1, entropy = 0;
  double dropped = 0;  // share of the assignments
  int64_t dead = 0;
};

static LoadSummary summarise_load(const Model& model) {
  LoadSummary s;
  for (const MoELayer* layer : model.moe_layers()) {
    s.max_over_mean = std::max(s.max_over_mean, layer->load().max_over_mean());
    s.dead += layer->load().dead();
    s.dropped += layer->load().dropped_share() / static_cast<double>(model.moe_layers().size());
    s.entropy += layer->load().mean_entropy() / static_cast<double>(model.moe_layers().size());
  }
  return s;
}

std::string console_line(const TrainRecord& r, const Model& model) {
  std::string line =
      fmt::format("step {:>6}/{} | tok {} | loss {:.4f}", r.step, r.total_steps, format_count(r.tokens), r.loss);
  for (const auto& [name, value] : r.figures) line += fmt::format(" {} {:.4f}", name, value);
  line += " | ";
  if (!model.moe_layers().empty()) line += fmt::format("aux {:.4f} | ", r.last.auxiliary);
  line += fmt::format("norm {:.2f} | lr {:.1e} | ", r.last.norm, r.last.learning_rate);
  if (!model.moe_layers().empty()) {
    const LoadSummary load = summarise_load(model);
    line += fmt::format("load max/mean {:.2f} dead {} dropped {:.1f}% | ", load.max_over_mean, load.dead,
                        100 * load.dropped);
  }
  return line + fmt::format("{:.0f} ms | {} tok/s | eta {}", r.milliseconds, format_count(r.tokens_per_second),
                            format_seconds(r.seconds_left));
}

// Per layer: each count divided by the layer's assignments.
static Json shares_to_json(const Model& model, std::span<double> LoadStats::*counts) {
  Json layers = Json::array();
  for (const MoELayer* layer : model.moe_layers()) {
    Json shares = Json::array();
    const double total = std::max(layer->load().assignments(), 1.0);
    for (const double count : layer->load().*counts) shares.push_back(std::round(count / total * 1e6) / 1e6);
    layers.push_back(std::move(shares));
  }
  return layers;
}

// Per layer and modality: each expert's share of the assignments of the modality's tokens.
static Json modality_loads_to_json(const Model& model) {
  Json layers = Json::array();
  for (const MoELayer* layer : model.moe_layers()) {
    Json modalities = Json::array();
    for (const std::vector<double>& load : layer->load().modality_shares()) {
      Json shares = Json::array();
      for (const double share : load) shares.push_back(std::round(share * 1e6) / 1e6);
      modalities.push_back(std::move(shares));
    }
    layers.push_back(std::move(modalities));
  }
  return layers;
}

void add_loads(Json& record, const Model& model) {
  if (model.moe_layers().empty()) return;
  record[metric_keys::kLoad] = shares_to_json(model, &LoadStats::counts);
  const auto drops = [](const MoELayer* layer) { return layer->load().dropped_share() > 0; };
  if (std::any_of(model.moe_layers().begin(), model.moe_layers().end(), drops))
    record[metric_keys::kDroppedLoad] = shares_to_json(model, &LoadStats::dropped);
  if (!model.moe_layers().front()->load().by_modality.empty())
    record[metric_keys::kModalityLoad] = modality_loads_to_json(model);
}

// The mean of each measure over the layers that have counted something.
static Json measures_to_json(const Model& model) {
  std::map<std::string, std::pair<double, int>> means;
  for (const MoELayer* layer : model.moe_layers()) {
    layer->for_each_measure([&](const std::string& name, std::optional<double> value) {
      auto& [sum, count] = means[name];
      sum += value.value_or(0);
      count += value.has_value();
    });
  }
  Json json;
  for (const auto& [name, mean] : means) {
    if (mean.second > 0) json[name] = mean.first / mean.second;
  }
  return json;
}

// For each kind of balance loss, in the order of the layers and their lists, its value in every layer that has it. If a
// layer has two of a kind, the later one is used.
static std::vector<std::pair<std::string, std::vector<double>>> balance_values(const Model& model) {
  std::vector<std::pair<std::string, std::vector<double>>> result;
  for (const MoELayer* layer : model.moe_layers()) {
    std::map<std::string, double> of_layer;
    std::vector<std::string> order;
    for (size_t i = 0; i < layer->balance().size(); ++i) {
      const std::string& name = layer->balance().name(i);
      if (of_layer.insert_or_assign(name, layer->balance().value(i)).second) order.push_back(name);
    }
    for (const std::string& name : order) {
      auto entry = std::find_if(result.begin(), result.end(), [&](const auto& e) { return e.first == name; });
      if (entry == result.end()) entry = result.insert(result.end(), {name, {}});
      entry->second.push_back(of_layer.at(name));
    }
  }
  return result;
}

// Above this number of values a record contains only a summary of the load.
static constexpr int64_t kMaxLoadNumbers = 4096;

Json to_json(const TrainRecord& r, const Model& model) {
  Json json = {{metric_keys::kTokens, r.tokens}, {metric_keys::kLoss, r.loss}};
  for (const auto& [name, value] : r.figures) json[name] = value;
  json.update({{metric_keys::kAuxiliary, r.last.auxiliary},
               {metric_keys::kNorm, r.last.norm},
               {metric_keys::kLearningRate, r.last.learning_rate},
               {metric_keys::kMilliseconds, r.milliseconds},
               {metric_keys::kTokensPerSecond, r.tokens_per_second}});
  if (!r.sources.empty()) json[metric_keys::kSources] = r.sources;
  if (!r.curriculum.empty()) json[metric_keys::kCurriculum] = r.curriculum;
  for (const auto& [key, value] : r.scheduled) json[metric_keys::kScheduled][key] = value;
  if (model.moe_layers().empty()) return json;
  const LoadSummary load = summarise_load(model);
  Json balance;
  for (const auto& [name, values] : balance_values(model)) {
    double mean = 0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    balance[name] = mean;
  }
  json[metric_keys::kBalance] = balance;
  if (const auto measures = measures_to_json(model); !measures.empty()) json[metric_keys::kMeasures] = measures;
  json[metric_keys::kLoadMaxOverMean] = load.max_over_mean;
  json[metric_keys::kDead] = load.dead;
  json[metric_keys::kDropped] = load.dropped;
  json[metric_keys::kRouterEntropy] = load.entropy;
  int64_t numbers = 0;
  for (const MoELayer* layer : model.moe_layers()) numbers += layer->num_experts();
  if (numbers <= kMaxLoadNumbers) add_loads(json, model);
  return json;
}

Json to_json(const Evaluation& e) {
  Json json = {{metric_keys::kLoss, e.nll()}};
  for (const char* name : e.metrics) {
    const double value = metrics().at(name).value(e);
    if (std::string_view(name) != "nll" && !std::isnan(value)) json[name] = value;
  }
  json[metric_keys::kTokens] = e.tokens;
  return json;
}

void add_parts(Json& record, const Evaluation& evaluation) {
  if (evaluation.parts.empty()) return;
  Json losses = Json::array(), tokens = Json::array(), correct = Json::array();
  for (const EvaluatedPart& part : evaluation.parts) {
    losses.push_back(std::round(part.loss * 1e4) / 1e4);
    tokens.push_back(part.tokens);
    correct.push_back(part.correct);
  }
  record[metric_keys::kParts] = {
      {metric_keys::kLoss, losses}, {metric_keys::kTokens, tokens}, {metric_keys::kCorrect, correct}};
}

}  // namespace moe
