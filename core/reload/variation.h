// Evaluates a trained model under other settings than it was trained with: other numbers of experts per token, other
// routers or capacities, experts left out. These counterfactuals measure what routing contributes.
#pragma once
#include "core/reload/load_run.h"

namespace moe {

struct VariedEvaluation {
  std::string name;
  Evaluation evaluation;
  double experts_per_token = 0;  // experts whose outputs were computed: mean over tokens and MoE layers
  double flops_per_token = 0;    // of a forward pass, as executed
  double seconds = 0;            // duration of the evaluation
};

// "KEY=V1|V2|..." -> "KEY=V1", "KEY=V2", ..., in the form of --set. Throws UsageError.
std::vector<std::string> settings_of(const std::string& request);
// The name of the router that uses the targets: Variations::in_hindsight().
inline constexpr std::string_view kOracle = "oracle";
// The setting that replaces the run's router by one without learned parameters: random, uniform or hash, with the same
// number of experts per token. Throws UsageError for other names.
std::string router_setting(const std::string& kind, const TrainConfig& config);

// Evaluates loaded models on one set of a task. Collective; all results but the time are over all ranks.
class Variations {
 public:
  Variations(const Task& task, const EvaluationSet& set, int64_t sequences)
      : task_(task), set_(set), sequences_(sequences) {}

  VariedEvaluation evaluate(const std::string& name, LoadedRun& run) const;
  // Leaves out each expert of each layer in turn: tokens go to the experts they would choose without it. Throws
  // UsageError for a router that does not choose by logits.
  std::vector<VariedEvaluation> without_each_expert(LoadedRun& run) const;
  // Uses only the busiest `count` experts of each layer, by the loads of the last evaluation of `run`.
  VariedEvaluation with_busiest(LoadedRun& run, int64_t count) const;
  // An oracle router that uses the targets. Layer after layer, from the first on, every token goes to the k experts
  // that, each as the only expert of the layer, give its prediction the smallest loss; ties go to the smaller index.
  // Their weights are the router's. The result is not a prediction. Its distance from the trained router is an estimate
  // of what a better choice of experts could gain. Takes one evaluation per expert and layer. Throws UsageError for a
  // router that does not choose by logits, and where not every token is predicted.
  VariedEvaluation in_hindsight(LoadedRun& run) const;

 private:
  const Task& task_;
  const EvaluationSet& set_;
  int64_t sequences_;
};

}  // namespace moe
