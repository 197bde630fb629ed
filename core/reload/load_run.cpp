#include "core/reload/load_run.h"

#include <algorithm>
#include <map>

#include "comm/agreement.h"
#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/config/flat_values.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"

namespace moe {

std::unique_ptr<Task> open_trained_task(const TrainConfig& config, const std::string& checkpoint, const Json& identity,
                                        const std::string& path) {
  TrainConfig with_path = config;
  if (!path.empty()) with_path.data.use(path);
  std::unique_ptr<Task> task = open_task(with_path, checkpoint);
  // Other data is not wrong where it was asked for.
  if (path.empty() && !identity.is_null() && identity != task->identity()) {
    raise<CheckpointError>(
        "{} was trained on other data than {} holds now: the checkpoint has {}, the data {}; --data {} uses it "
        "nevertheless",
        checkpoint, config.data.location(), json_text(identity), json_text(task->identity()), config.data.location());
  }
  return task;
}

std::unique_ptr<Task> LoadedRun::open_task(const std::string& path) const {
  return open_trained_task(config, checkpoint, identity, path);
}

DeviceChoice choose_device_for(const std::string& run_or_checkpoint, const std::string& which,
                               const std::string& device, const std::string& precision, const LocalRanks& local) {
  if (precision != "run") return choose_device(device, precision, local);
  return choose_device(device, load_run_config(find_checkpoint(run_or_checkpoint, which)).precision, local);
}

std::vector<std::string> settings_for_context(const TrainConfig& config, int64_t context) {
  const int64_t trained = config.data.sequence;
  if (context <= trained) return {};
  if (config.model.attention.position == "learned") {
    raise<UsageError>(
        "--context {}: the model was trained on {} tokens, and its learned positions (model.attention.position) end "
        "there; use at most that",
        context, trained);
  }
  return {fmt::format("data.sequence={}", context)};
}

LoadedRun load_run(const std::string& run_or_checkpoint, const std::string& which, std::shared_ptr<Communicator> world,
                   int64_t expert_parallel, int64_t sequences, const DeviceChoice& device,
                   const std::vector<std::string>& settings) {
  LoadedRun run;
  run.checkpoint = find_checkpoint(run_or_checkpoint, which);
  const RunState state = load_run_state(run.checkpoint);
  run.step = state.step;
  run.identity = state.identity;
  run.config = with_saved_experts(load_run_config(run.checkpoint, settings), state.experts, run.checkpoint);
  const TaskKind& task = tasks().at(run.config.task);
  run.samples_file = description_file(task, run.checkpoint);
  run.samples = read_description(run.config.task, run.checkpoint);
  const std::map<std::string, std::string> values = flat_values(run.config);
  Facts facts(values.begin(), values.end());
  facts.emplace_back("step", std::to_string(run.step));
  facts.emplace_back("samples", json_text(run.samples));
  require_agreement(*world, "the same checkpoint and settings", facts);
  run.device = device;
  run.world = world;
  run.groups = ProcessGroups::make(communicator_for(device, run.config.parallel.communication, world), expert_parallel,
                                   smallest_experts(run.config.model, run.config.moe));
  const StateSetup setup{.config = run.config,
                         .sample = task.shape(run.config, run.samples, run.samples_file),
                         .groups = run.groups,
                         .run = state.length,
                         .trains = false,
                         .sequences = sequences,
                         .precision = device.precision,
                         .device = device.device,
                         .device_index = device.index,
                         .queue = device.queue};
  run.state = std::make_unique<TrainingState>(setup, plan_memory(setup), false);
  load_tensors(run.checkpoint, run.state->parameters, nullptr);
  // Scheduled quantities have the value of the latest update, as in the run's own evaluations.
  run.state->ctx.step = static_cast<uint64_t>(std::max<int64_t>(run.step - 1, 0));
  return run;
}

}  // namespace moe
