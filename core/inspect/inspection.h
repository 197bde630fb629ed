// Everything that moe-inspect knows about a run; the reports only draw it.
#pragma once
#include "core/evaluate/evaluator.h"
#include "core/inspect/curriculum_stats.h"
#include "core/inspect/layer_stats.h"
#include "core/inspect/run_history.h"
#include "core/reload/load_run.h"

namespace moe {

struct InspectionOptions {
  std::string split = "validation";
  std::string data;         // another corpus than the run's; empty = the run's
  int64_t tokens = 50'000;  // leading tokens of the split; 0 = all
  std::string against;      // a checkpoint of the run (best or a step) or another's folder: tells each layer's churn
};

struct Inspection {
  std::string run;         // the run's folder; empty for a checkpoint outside of one
  std::string checkpoint;  // its folder
  int64_t step = 0;
  double trained_tokens = 0;
  TrainConfig config;  // as it was trained
  SampleShape sample;
  int64_t experts_per_token = 0;  // of the layer that has most
  ModelSummary summary;
  std::string data, split;  // what was evaluated
  Evaluation evaluation;
  std::vector<LayerStats> layers;  // the MoE layers
  RunHistory history;
  std::optional<CurriculumStats> curriculum{};

  int64_t dead() const;
  int64_t nearly_dead() const;
  double max_over_mean() const;  // of the worst layer
  // Experts of the MoE layers: "8" where all have as many, else "8, 8, 16".
  std::string experts_in_words() const;
};

// Windows of one evaluation batch: what load_run() is to be asked for.
constexpr int64_t kInspectionSequences = 8;

// The run's folder that a run's or a checkpoint's path belongs to; empty for a checkpoint that was copied
// elsewhere.
std::string run_folder_of(const std::string& run_or_checkpoint);

// Evaluates the model and reads the history. Collective. Throws DataError for a corpus that does not fit the
// model.
Inspection inspect(LoadedRun& run, const std::string& run_or_checkpoint, const InspectionOptions& options);

}  // namespace moe
