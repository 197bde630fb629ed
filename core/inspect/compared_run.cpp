#include "core/inspect/compared_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/statistics.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/record/run_folder.h"

namespace moe {

std::optional<SeedName> parse_seed_name(const std::string& name) {
  static constexpr std::string_view kMark = "-seed";
  const size_t at = name.rfind(kMark);
  if (at == std::string::npos || at == 0) return std::nullopt;
  const std::string digits = name.substr(at + kMark.size());
  if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return SeedName{std::filesystem::path(name.substr(0, at)).filename(), std::stoll(digits)};
}

namespace {

using Standing = ComparedRun::Standing;

// Thrown while a run is read, and caught by the function that reads it.
struct LeftOut {
  Standing standing;
  std::string reason;
};

double number(const Json& object, const char* key) {
  const Json* it = object.find(key);
  return it && it->is_number() ? it->get<double>() : kAbsent;
}

// Formats a term of the comparison; two unknown values count as equal.
std::string text(double value) {
  return std::isnan(value) ? "unknown" : fmt::format("{:.0f}", value);
}
std::string text(const Json& object, const char* key) {
  const Json* it = object.find(key);
  if (!it) return "unknown";
  return it->is_string() ? it->get<std::string>() : json_text(*it);
}

void add_once(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

// Reads the machines and programs that made the run.
void read_sessions(const Json& manifest, ComparedRun& run) {
  std::vector<std::string> machines, programs, precisions, lengths, changes;
  const Json* sessions = manifest.find("sessions");
  if (sessions && sessions->is_array()) {
    for (const Json& s : *sessions) {
      if (!s.is_object()) continue;
      add_once(machines, fmt::format("{}, {} x {} threads, {}", text(s, "host"), text(s, "ranks"),
                                     text(s, "threads_per_rank"), text(s, "instruction_set")));
      add_once(programs, text(s, "program_hash"));
      add_once(precisions, text(s.find("precision") ? s : manifest, "precision"));
      add_once(lengths, text(number(s, "updates")));
      if (const Json* made = s.find("changes"); made && made->is_object()) {
        for (const auto& [key, values] : made->items()) add_once(changes, key);
      }
    }
  }
  run.machine = join(machines, " + ");
  run.program = join(programs, " + ");
  run.precision = join(precisions, " + ");
  if (!changes.empty()) {
    throw LeftOut{Standing::unfair, "keys were changed during training (--change): " + join(changes, ", ")};
  }
  if (lengths.size() > 1) {
    throw LeftOut{Standing::unfair, "its length was changed during training (" + join(lengths, ", then ") +
                                        " updates): its schedules differ from those of a run with one length"};
  }
}

const EvaluationPoint& evaluation_of(const RunHistory& history, int64_t updates, ComparedAt at) {
  if (history.diverged)
    throw LeftOut{Standing::diverged, fmt::format("loss or gradient not finite at step {}", *history.diverged)};
  if (history.evaluations.empty()) throw LeftOut{Standing::unreadable, "it was never evaluated"};
  const int64_t reached = history.train.empty() ? 0 : history.train.back().step;
  if (reached < updates)
    throw LeftOut{Standing::unfinished, fmt::format("logged up to step {} of {}", reached, updates)};
  if (history.evaluations.back().step < updates) throw LeftOut{Standing::unfinished, "its last evaluation is missing"};
  const EvaluationPoint* best = history.best();
  const EvaluationPoint& e = at == ComparedAt::best && best ? *best : history.evaluations.back();
  if (std::isnan(e.quality))
    throw LeftOut{Standing::unreadable,
                  fmt::format("its evaluation at step {} has no {}", e.step, history.judged_by->name)};
  return e;
}

void read_experts(const EvaluationPoint& evaluation, int64_t updates, ComparedRun& run) {
  double uniform = 0;  // the entropy of a uniform router, mean over layers
  for (const std::vector<double>& load : evaluation.load) {
    const auto experts = static_cast<double>(load.size());
    uniform += std::log(experts) / static_cast<double>(evaluation.load.size());
    const double largest = *std::max_element(load.begin(), load.end()) * experts;
    run.max_over_mean = std::isnan(run.max_over_mean) ? largest : std::max(run.max_over_mean, largest);
    run.dead = (std::isnan(run.dead) ? 0 : run.dead) + static_cast<double>(std::count(load.begin(), load.end(), 0.0));
  }
  std::vector<double> entropies;
  std::map<std::string, std::vector<double>> measures;
  for (const TrainPoint& p : run.history.train) {
    if (p.step > evaluation.step || p.step <= evaluation.step - std::max<int64_t>(updates / 10, 1)) continue;
    entropies.push_back(p.router_entropy);
    for (const auto& [name, value] : p.measures) measures[name].push_back(value);
  }
  if (uniform > 0) run.router_entropy = mean(entropies) / uniform;
  for (const auto& [name, values] : measures) run.measures[name] = mean(values);
}

// Used until the manifest is read.
void read_name(ComparedRun& run) {
  if (std::optional<SeedName> name = parse_seed_name(run.name))
    run.config = std::move(name->config), run.seed = name->seed;
}

// The configuration as it was written if it has keys that no longer exist.
ConfigNode configuration_of(const std::string& path) try {
  return complete_config(path);
} catch (const CheckpointError&) {
  return parse_config(read_text(path + "/config.yaml"), path + "/config.yaml");
}

// A copy that init.perturb made: CONFIG-noiseN-seedM belongs to CONFIG.
void read_perturbation(ComparedRun& run) {
  const ConfigNode* init = run.configuration.find("init");
  const ConfigNode* size = init ? init->find("perturb") : nullptr;
  run.is_copy = size && !size->scalar.empty() && size->scalar.find_first_not_of("0.") != std::string::npos;
  if (!run.is_copy) return;
  const size_t mark = run.config.rfind("-noise");
  if (mark != std::string::npos && mark > 0) run.config.resize(mark);
}

void read(const std::string& path, ComparedAt at, ComparedRun& run) {
  const Json manifest = parse_json_or_null(read_text(path + "/manifest.json"));
  if (!manifest.is_object()) throw LeftOut{Standing::unreadable, "manifest.json is damaged"};
  const double seed = number(manifest, "seed"), updates = number(manifest, "updates");
  if (std::isnan(seed) || std::isnan(updates))
    throw LeftOut{Standing::unreadable, "manifest.json lacks seed or updates: it was written by an older moe-train"};
  if (static_cast<int64_t>(seed) != run.seed) run.config = run.name;  // its name does not have this form
  run.seed = static_cast<int64_t>(seed);
  run.configuration = configuration_of(path);
  read_perturbation(run);
  run.history = read_history(path + "/metrics.jsonl");
  run.updates = updates;
  run.tokens_per_update = number(manifest, "tokens_per_update");
  run.parameters = number(manifest, "parameters");
  run.active_parameters = number(manifest, "active_parameters");
  run.flops_per_token = number(manifest, "flops_per_token");
  read_sessions(manifest, run);

  const int64_t length = run.history.stopped.value_or(static_cast<int64_t>(updates));
  const EvaluationPoint& evaluation = evaluation_of(run.history, length, at);
  const Json data = manifest.value("data", Json::object());
  run.terms = {{"training data", text(data, "data")},
               {"vocabulary", text(data, "vocab")},
               {"documents", data.contains("documents") ? text(data, "documents") : "joined"},
               {kTokensPerUpdate, text(run.tokens_per_update)},
               {"sequence length", text(manifest, "sequence")},
               {kUpdates, text(updates)},
               {"validation data", evaluation.data.empty() ? "unknown" : evaluation.data},
               {"evaluated tokens", text(evaluation.tokens)},
               {"evaluation stride", text(evaluation.stride)},
               {"figure", run.history.judged_by->name}};
  // With more evaluations the best one is better.
  if (at == ComparedAt::best)
    run.terms.emplace_back("number of evaluations", std::to_string(run.history.evaluations.size()));
  run.step = evaluation.step;
  run.quality = evaluation.quality;
  run.parts = evaluation.parts;
  std::vector<double> times;
  for (const TrainPoint& p : run.history.train) times.push_back(p.milliseconds);
  run.milliseconds = median(times);
  read_experts(evaluation, length, run);
}

}  // namespace

const char* name_of(Standing standing) {
  static constexpr const char* kNames[] = {"fair",       "copy",       "other cost", "diverged",
                                           "unfinished", "unreadable", "unfair"};
  return kNames[as_index(standing)];
}

ComparedRun read_compared_run(const std::string& folder, const std::string& name, ComparedAt at) {
  ComparedRun run{name, name};
  read_name(run);
  const std::string path = folder + "/" + name;
  try {
    if (!std::filesystem::exists(path + "/manifest.json"))
      throw LeftOut{Standing::unfinished, "it has not started: no manifest.json"};
    read(path, at, run);
  } catch (const LeftOut& left_out) {
    run.standing = left_out.standing;
    run.reason = left_out.reason;
  } catch (const Error& error) {
    run.standing = Standing::unreadable;
    run.reason = error.what();
  }
  return run;
}

}  // namespace moe
