#include "core/inspect/json_report.h"

#include "core/base/build_info.h"
#include "core/base/json.h"
#include "core/inspect/communication_report.h"
#include "core/inspect/curriculum_report.h"
#include "core/inspect/lifecycle_report.h"
#include "core/inspect/modality_report.h"
#include "core/inspect/placement_report.h"
#include "core/inspect/specialisation_report.h"
#include "core/record/metrics.h"

namespace moe {

static Json to_json(const LayerStats& s) {
  Json balance = Json::object();
  for (const auto& [name, value] : s.balance) balance[name] = value;
  Json measures = Json::object();
  for (const auto& [name, value] : s.measures) measures[name] = value;
  return {{"layer", s.layer},
          {"experts", s.experts()},
          {"experts_per_token", s.experts_per_token},
          {"assignments", s.assignments},
          {"tokens", s.tokens},
          {"max_over_mean", s.max_over_mean},
          {"min_over_mean", s.min_over_mean},
          {"cv", s.variation},
          {"load_entropy", s.load_entropy},
          {"router_entropy", s.router_entropy},
          {"effective_share", effective_share(s.load)},
          {"dead", s.dead},
          {"nearly_dead", s.nearly_dead},
          {"dropped_share", s.dropped_share},
          {"balance", balance},
          {"measures", measures},
          {"load", s.load},
          {"importance", s.importance},
          {"probability", s.probability},
          {"dropped", s.dropped},
          {"input_norm", s.norms.input},
          {"output_norm", s.norms.output},
          {"router_norm", s.norms.router}};
}

static Json to_json(const RunHistory& history) {
  Json evaluations = Json::array();
  for (const EvaluationPoint& e : history.evaluations) {
    evaluations.push_back({{"step", e.step}, {"loss", e.loss}, {history.judged_by->key, e.quality}});
  }
  Json json = {{"found", history.found},
               {"damaged_lines", history.damaged_lines},
               {"train_records", history.train.size()},
               {"evaluations", evaluations},
               {"best", nullptr}};
  if (const EvaluationPoint* best = history.best()) {
    json["best"] = {{"step", best->step}, {"loss", best->loss}, {history.judged_by->key, best->quality}};
  }
  return json;
}

// MaxVio (Wang et al., 2024): the largest load over the mean, minus 1; largest and mean over the layers.
static Json max_violation(const Inspection& i) {
  double sum = 0;
  for (const LayerStats& s : i.layers) sum += s.max_over_mean - 1;
  return {{"max", i.max_over_mean() - 1}, {"mean", i.layers.empty() ? 0 : sum / static_cast<double>(i.layers.size())}};
}

Json json_report(const Inspection& i) {
  Json layers = Json::array();
  for (const LayerStats& s : i.layers) layers.push_back(to_json(s));
  return {{"schema", kInspectionSchema},
          {"version", version()},
          {"run", i.run},
          {"name", i.config.name},
          {"checkpoint", i.checkpoint},
          {"step", i.step},
          {"trained_tokens", i.trained_tokens},
          {"parameters", i.summary.parameters},
          {"active_parameters", i.summary.active_parameters},
          {"experts_per_token", i.experts_per_token},
          {"data", i.data},
          {"split", i.split},
          {"evaluation", to_json(i.evaluation)},
          {"max_over_mean", i.max_over_mean()},
          {"max_violation", max_violation(i)},
          {"dead", i.dead()},
          {"nearly_dead", i.nearly_dead()},
          {"layers", layers},
          {"modality_load", modality_json(i)},
          {"specialisation", specialisation_json(i)},
          {"use", sample_use_json(i.use)},
          {"lifecycle", lifecycle_json(i.history)},
          {"placements", placement_json(i.history)},
          {"communication", communication_json(i.history)},
          {"curriculum", curriculum_json(i.curriculum, i.history)},
          {"history", to_json(i.history)}};
}

}  // namespace moe
