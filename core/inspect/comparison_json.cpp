#include "core/inspect/comparison_json.h"

#include <cmath>

#include "core/base/build_info.h"
#include "core/base/json.h"
#include "core/inspect/comparison_tables.h"

namespace moe {
namespace {

using Standing = ComparedRun::Standing;

Json run_json(const Comparison& c, const ComparedRun& run) {
  Json json = {{"name", run.name}, {"config", run.config}, {"seed", run.seed}};
  json["standing"] = name_of(run.standing);
  if (run.standing != Standing::fair) json["reason"] = run.reason;
  json["step"] = run.step;
  json[c.judged_by().key] = run.quality;
  for (const RunFigure& f : kRunFigures) json[f.name] = run.*f.value;
  json["measures"] = run.measures;
  json["machine"] = run.machine;
  json["program"] = run.program;
  return json;
}

Json config_json(const Comparison& c, const ComparedConfig& config) {
  Json json = {{"name", config.name}, {"seeds", Json::array()}};
  for (const ComparedRun* run : config.runs) json["seeds"].push_back(run->seed);
  json["diverged_seeds"] = config.diverged_seeds;
  const std::string quality = c.judged_by().key;
  json[quality] = config.mean_of(&ComparedRun::quality);
  for (const RunFigure& f : kRunFigures) json[f.name] = config.mean_of(f.value);
  json[quality + "_sd"] = config.deviation_of(&ComparedRun::quality);
  Json measures = Json::object();
  for (const std::string& name : c.measures()) measures[name] = config.mean_measure(name);
  json["measures"] = measures;
  Json changes = Json::array();
  for (const ConfigDifference& d : config.changes)
    changes.push_back({{"key", d.key}, {"baseline", d.before}, {"value", d.after}});
  json["changes"] = changes;
  if (&config == &c.baseline_config()) return json;
  const PairedDifference& d = config.difference;
  json["paired_seeds"] = config.paired_seeds;
  json["differences"] = d.differences;
  json["difference"] = d.mean;
  json["interval"] = d.has_interval() ? Json{d.low(), d.high()} : Json(nullptr);
  const UnpairedDifference& u = config.unpaired;
  json["unpaired_interval"] =
      std::isnan(u.half_width) ? Json(nullptr) : Json{u.mean - u.half_width, u.mean + u.half_width};
  const TextInterval& text = config.over_text;
  json["interval_over_text"] = text.parts == 0 ? Json(nullptr) : Json{text.low, text.high};
  json["correlation"] = u.correlation;
  json["below_noise"] = c.is_below_noise(config);
  json["verdict"] = name_of(config.verdict.kind);
  json["p"] = config.verdict.p;
  json["p_beyond_margin"] = config.verdict.p_equivalent;
  json["seeds_to_decide"] = config.verdict.seeds_to_decide ? Json(*config.verdict.seeds_to_decide) : Json(nullptr);
  json["excludes_zero"] = d.has_interval() ? Json(d.excludes_zero()) : Json(nullptr);
  json["time_ratio"] = config.time_ratio;
  const EffectiveSpeedup& s = config.speedup;
  json["speedup"] = {{"operations", s.value},
                     {"interval", s.seeds < kSeedsForInterval ? Json(nullptr) : Json{s.low, s.high}},
                     {"seeds", s.seeds},
                     {"extrapolated", s.extrapolated},
                     {"time", config.time_speedup}};
  json["tokens_to_match"] = config.tokens_to_match;
  return json;
}

}  // namespace

Json comparison_json(const Comparison& c) {
  Json terms = Json::object();
  for (const auto& [name, value] : c.reference().terms) terms[name] = value;
  Json costs = Json::array();
  for (const CostedRuns& cost : c.costs) {
    Json losses = Json::object();
    for (const auto& [seed, loss] : cost.loss_of_seed) losses[std::to_string(seed)] = loss;
    costs.push_back({{"operations", cost.cost}, {c.judged_by().key, losses}});
  }
  Json configs = Json::array(), runs = Json::array();
  for (const ComparedConfig& config : c.configs) configs.push_back(config_json(c, config));
  for (const ComparedRun& run : c.runs) runs.push_back(run_json(c, run));
  return {{"schema", kComparisonSchema},
          {"version", version()},
          {"folder", c.folder},
          {"at", c.at == ComparedAt::last ? "last" : "best"},
          {"baseline", c.baseline_config().name},
          {"answer", comparison_answer(c)},
          {"equal", name_of(c.equal)},
          {"confidence", kConfidence},
          {"margin", c.margin},
          {"noise",
           {{"config", c.noise.config},
            {"seed", c.noise.seed},
            {"copies", c.noise.qualities},
            {"deviation", c.noise.deviation}}},
          {"costs", costs},
          {"terms", terms},
          {"configs", configs},
          {"runs", runs},
          {"notes", c.notes}};
}

}  // namespace moe
