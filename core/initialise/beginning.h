// What is done to a new run's weights before step 0 (init), and what is told of it. Nothing of it is saved on the way:
// a run that is killed meanwhile begins anew.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "core/initialise/cluster_start.h"
#include "core/initialise/reptile.h"
#include "core/initialise/start_from.h"
#include "core/tasks/task.h"

namespace moe {

struct Beginning {
  std::optional<StartReport> from;
  std::optional<ClusterReport> clusters;
  std::optional<ReptileReport> reptile;

  std::vector<std::string> to_words() const;
  std::vector<nlohmann::ordered_json> to_json() const;  // records of metrics.jsonl, type "init"
};

// Throws what begin_run() could not do: UsageError, and CheckpointError for a run that is not there or does not fit.
void check_beginning(const TrainConfig& config, const Task& task, const RunLength& run);

// Another run's weights, then clusters, then Reptile, as init says; on the training samples of `task`, of which those
// that are looked at follow from the seed. check_beginning() has passed. Collective. Throws the errors of the parts.
Beginning begin_run(TrainingState& state, TrainStep& step, const TrainConfig& config, const ProcessGroups& groups,
                    const Task& task);

}  // namespace moe
