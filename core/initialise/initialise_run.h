// Initialises a new run's weights before step 0 (init), and reports on it. Intermediate results are not saved: a run
// that is killed during it starts again from scratch.
#pragma once
#include <optional>

#include "core/base/json.h"
#include "core/initialise/cluster_start.h"
#include "core/initialise/reptile.h"
#include "core/initialise/start_from.h"
#include "core/tasks/task.h"

namespace moe {

struct RunInitialisation {
  std::optional<StartReport> from;
  std::optional<ClusterReport> clusters;
  std::optional<ReptileReport> reptile;
  double perturbation = 0;  // its size

  std::vector<std::string> to_words() const;
  std::vector<Json> to_json() const;  // records of metrics.jsonl, type "init"
};

// Throws the errors of initialise_run() in advance: UsageError, and CheckpointError for a source run that does not
// exist or does not fit.
void check_initialisation(const TrainConfig& config, const Task& task, const RunLength& run);

// Applies another run's weights, then clusters, then Reptile, then the perturbation, as configured in init. They use
// the training samples of `task`; the seed determines which ones. check_initialisation() must have passed. Collective.
// Throws the errors of the parts.
RunInitialisation initialise_run(TrainingState& state, TrainStep& step, const TrainConfig& config,
                                 const ProcessGroups& groups, const Task& task);

}  // namespace moe
