// A trained model as a frozen extractor of features, on labelled samples that it need not have been trained on.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/initialise/start_from.h"
#include "core/step/device_choice.h"
#include "core/tasks/task.h"

namespace moe {

struct FrozenOptions {
  std::string run{};                    // folder of a run or checkpoint
  std::string which = "last";           // checkpoint of a run: last, best or a step
  std::string data{};                   // path of the labelled samples; empty: those that it was trained on
  std::string pooling{};                // model.pooling; empty: a classifier's own, mean for a language model
  std::vector<std::string> settings{};  // "key=value" for the samples (data.labelled)
  int64_t expert_parallel = 0;
  int64_t sequences = 8;  // per forward pass of a rank
};

struct FrozenModel {
  TrainConfig config;
  std::string checkpoint;  // its folder
  int64_t step = 0;
  ProcessGroups groups;
  std::unique_ptr<Task> task;            // of the labelled samples
  std::unique_ptr<TrainingState> state;  // a classifier whose head is not trained
};

// Loads the weights without the head, in front of a linear head. Collective. Throws UsageError for a run of a task from
// which no classifier starts, and the errors of load_run() and open_task().
FrozenModel load_frozen(const FrozenOptions& options, const DeviceChoice& device, std::shared_ptr<Communicator> world);

}  // namespace moe
