// Loads a trained model from a run or checkpoint folder, for programs that only read it.
#pragma once
#include <memory>

#include "core/base/json.h"
#include "core/step/device_choice.h"
#include "core/tasks/task.h"

namespace moe {

// Opens the samples of a run whose checkpoint this is, or those at `path` unless it is empty. Throws DataError for
// samples of another kind than the model was trained on, and CheckpointError when the run's own data has no longer the
// identity that the checkpoint recorded.
std::unique_ptr<Task> open_trained_task(const TrainConfig& config, const std::string& checkpoint, const Json& identity,
                                        const std::string& path);

struct LoadedRun {
  std::string checkpoint;  // its folder
  int64_t step = 0;
  TrainConfig config;
  DeviceChoice device;
  std::shared_ptr<Communicator> world;  // as passed in; groups use the communicator that suits the device
  ProcessGroups groups;
  Json identity;                         // Task::identity() of the data that it was trained on
  Json samples;                          // Task::description() of the training samples,
  std::string samples_file;              // and the file it was read from
  std::unique_ptr<TrainingState> state;  // gradients and optimizer are not used

  // Calls open_trained_task().
  std::unique_ptr<Task> open_task(const std::string& path) const;
};

// As choose_device(); `precision` may also be "run": the one that the run was configured with. Throws CheckpointError
// where there is no such checkpoint.
DeviceChoice choose_device_for(const std::string& run_or_checkpoint, const std::string& which,
                               const std::string& device, const std::string& precision, const LocalRanks& local);

// Settings for load_run() with which the model reads `context` tokens: none for at most those of the training. Rotary
// and relative positions, and none, go on past them; throws UsageError for a learned table, which ends there.
std::vector<std::string> settings_for_context(const TrainConfig& config, int64_t context);

// `which`: last, best or a step. `sequences`: the number that evaluate() will be called with. `settings`: "key=value"
// applied to the run's configuration. Throws CheckpointError for a model that then needs tensors of other shapes,
// UsageError for an unknown key. Collective. Also throws CheckpointError and DeviceError.
LoadedRun load_run(const std::string& run_or_checkpoint, const std::string& which, std::shared_ptr<Communicator> world,
                   int64_t expert_parallel, int64_t sequences, const DeviceChoice& device = {},
                   const std::vector<std::string>& settings = {});

}  // namespace moe
