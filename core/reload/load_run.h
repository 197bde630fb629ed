// A trained model from a run or checkpoint folder, for programs that only look at it.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "core/step/device_choice.h"
#include "core/tasks/task.h"

namespace moe {

struct LoadedRun {
  std::string checkpoint;  // its folder
  int64_t step = 0;
  TrainConfig config;
  DeviceChoice device;
  std::shared_ptr<Communicator> world;  // as it was given: groups talk through what suits the device
  ProcessGroups groups;
  nlohmann::json samples;                // Task::description() of what it was trained on,
  std::string samples_file;              // and where that was
  std::unique_ptr<TrainingState> state;  // without gradients and optimizer in use

  // The samples of the run, or those at `path` unless it is empty; of another kind than it was trained on they are a
  // DataError.
  std::unique_ptr<Task> open_task(const std::string& path) const;
};

// `which`: last, best or a step. `sequences`: that evaluate() will be asked for at a time. `settings`: "key=value" over
// the run's configuration; a model that then wants tensors of other shapes is a CheckpointError, an unknown key a
// UsageError. Collective. Throws CheckpointError, DeviceError.
LoadedRun load_run(const std::string& run_or_checkpoint, const std::string& which, std::shared_ptr<Communicator> world,
                   int64_t expert_parallel, int64_t sequences, const DeviceChoice& device = {},
                   const std::vector<std::string>& settings = {});

}  // namespace moe
