// A trained model evaluated under other settings than it was trained with: other numbers of experts per token, other
// routers or capacities, experts left out. The counterfactuals that tell what routing contributes.
#pragma once
#include "core/reload/load_run.h"

namespace moe {

struct VariedEvaluation {
  std::string name;
  Evaluation evaluation;
  double experts_per_token = 0;  // whose outputs were computed: mean over tokens and MoE layers
  double flops_per_token = 0;    // of a forward pass, as it went
  double seconds = 0;            // that the evaluation took
};

// "KEY=V1|V2|..." -> "KEY=V1", "KEY=V2", ..., settings as for --set. Throws UsageError.
std::vector<std::string> settings_of(const std::string& request);
// The name of the router that knows what is to be predicted: Variations::in_hindsight().
inline constexpr std::string_view kOracle = "oracle";
// The setting that puts a router in the place of the run's that needs nothing learned: random, uniform or hash, with as
// many experts per token. Throws UsageError for another.
std::string router_setting(const std::string& kind, const TrainConfig& config);

// Evaluates loaded models on one set of a task. Collective; what is measured but the time is of all ranks.
class Variations {
 public:
  Variations(const Task& task, const EvaluationSet& set, int64_t sequences)
      : task_(task), set_(set), sequences_(sequences) {}

  VariedEvaluation evaluate(const std::string& name, LoadedRun& run) const;
  // Each expert of each layer left out in turn: tokens go where they would go without it. UsageError for a router that
  // does not choose by logits.
  std::vector<VariedEvaluation> without_each_expert(LoadedRun& run) const;
  // With the busiest `count` experts of each layer alone, by the loads of the last evaluation of `run`.
  VariedEvaluation with_busiest(LoadedRun& run, int64_t count) const;
  // Routed by one who knows the tokens that are to be predicted: layer after layer, the first first, every token goes
  // to those k experts that, each alone in charge of the layer, would give its prediction the smallest loss, ties to
  // the smaller index. Their weights are the router's. What comes of it is no prediction; its distance from the trained
  // router tells how much the choice of experts could still give. Takes an evaluation for each expert of each layer.
  // UsageError for a router that does not choose by logits, and where not every token is predicted.
  VariedEvaluation in_hindsight(LoadedRun& run) const;

 private:
  const Task& task_;
  const EvaluationSet& set_;
  int64_t sequences_;
};

}  // namespace moe
