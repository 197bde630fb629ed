// Everything that moe-inspect computes about a run; the reports only present it.
#pragma once
#include "core/evaluate/evaluator.h"
#include "core/inspect/curriculum_stats.h"
#include "core/inspect/layer_stats.h"
#include "core/inspect/run_history.h"
#include "core/inspect/sample_use.h"
#include "core/inspect/specialisation.h"
#include "core/inspect/token_view.h"
#include "core/reload/load_run.h"

namespace moe {

struct InspectionOptions {
  std::string split = "validation";
  std::string data;         // another corpus than the run's; empty = the run's
  int64_t tokens = 50'000;  // leading tokens of the split; 0 = all
  std::string against;      // a checkpoint of the run (best or a step) or another run's folder: adds each layer's churn
};

struct Inspection {
  std::string run;         // the run's folder; empty for a checkpoint outside of one
  std::string checkpoint;  // its folder
  int64_t step = 0;
  double trained_tokens = 0;
  TrainConfig config;  // the configuration it was trained with
  SampleShape sample;
  int64_t experts_per_token = 0;  // of the layer with the most
  ModelSummary summary;
  std::string data, split;  // the evaluated data
  Evaluation evaluation;
  std::vector<LayerStats> layers;         // the MoE layers
  std::vector<std::string> modalities{};  // the names of those in LayerStats::by_modality
  RunHistory history;
  std::optional<CurriculumStats> curriculum{};
  // By MoE layer; empty where it was not measured.
  std::vector<LayerSpecialisation> specialisation{};
  int64_t specialisation_tokens = 0;          // leading tokens of the split that it was measured on
  std::vector<SaturationPoint> saturation{};  // of a run with traces of validation
  SampleUse use{};                            // of labelled samples, on the same tokens
  TokenView tokens{};                         // the first ones of the evaluated text
  TokenView written{};                        // a text that the model writes; empty for one that writes none

  int64_t dead() const;
  int64_t nearly_dead() const;
  double max_over_mean() const;  // of the worst layer
  // Experts of the MoE layers: "8" where all have the same number, else "8, 8, 16".
  std::string experts_in_words() const;
};

// At most so many tokens are used for the specialisation: their logits are kept in memory.
constexpr int64_t kSpecialisationTokens = 16'384;

// Windows per evaluation batch: the number to pass to load_run().
constexpr int64_t kInspectionSequences = 8;

// The run's folder that a path of a run or a checkpoint belongs to; empty for a checkpoint that was copied elsewhere.
std::string run_folder_of(const std::string& run_or_checkpoint);

// Evaluates the model and reads the history. Collective. Throws DataError for a corpus that does not fit the
// model.
Inspection inspect(LoadedRun& run, const std::string& run_or_checkpoint, const InspectionOptions& options);

}  // namespace moe
