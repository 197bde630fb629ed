#include "core/initialise/frozen_model.h"

#include <algorithm>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"

namespace moe {

static constexpr const char* kTask = "classify";

// Settings with which the run's model classifies the samples.
static std::vector<std::string> settings_of(const FrozenOptions& options, const TrainConfig& trained) {
  const auto& starts_from = tasks().at(kTask).starts_from;
  const bool classifies = trained.task == kTask;
  if (!classifies && std::find(starts_from.begin(), starts_from.end(), trained.task) == starts_from.end())
    raise<UsageError>("{} was trained with task: {}, from which no classifier starts", options.run, trained.task);
  if (!classifies && options.data.empty())
    raise<UsageError>("{} is no classifier and has no labelled samples of its own; --data names some", options.run);
  std::vector<std::string> settings{fmt::format("task={}", kTask), "model.head=linear", "model.tie_embeddings=false",
                                    "moe.lifecycle=[]"};
  const std::string pooling = !options.pooling.empty() ? options.pooling : classifies ? "" : "mean";
  if (!pooling.empty()) settings.push_back("model.pooling=" + pooling);
  settings.insert(settings.end(), options.settings.begin(), options.settings.end());
  return settings;
}

FrozenModel load_frozen(const FrozenOptions& options, const DeviceChoice& device, std::shared_ptr<Communicator> world) {
  FrozenModel model;
  model.checkpoint = find_checkpoint(options.run, options.which);
  const RunState saved = load_run_state(model.checkpoint);
  model.step = saved.step;
  const TrainConfig trained = load_run_config(model.checkpoint);
  const std::vector<std::string> settings = settings_of(options, trained);
  model.config = with_saved_experts(load_run_config(model.checkpoint, settings), saved.experts, model.checkpoint);
  TrainConfig& config = model.config;
  config.init.from = model.checkpoint;
  if (!options.data.empty()) config.data.use(options.data);
  if (config.model.pooling == "class_token" && trained.model.pooling != "class_token")
    raise<UsageError>("--pooling class_token: {} was not trained with a class token; use mean or last", options.run);
  model.task = open_task(config);
  model.groups = ProcessGroups::make(communicator_for(device, config.parallel.communication, std::move(world)),
                                     options.expert_parallel, smallest_experts(config.model, config.moe));
  const StateSetup setup{.config = config,
                         .sample = model.task->shape(),
                         .groups = model.groups,
                         .run = saved.length,
                         .trains = false,
                         .sequences = options.sequences,
                         .precision = device.precision,
                         .device = device.device,
                         .device_index = device.index,
                         .queue = device.queue};
  model.state = std::make_unique<TrainingState>(setup, plan_memory(setup), true);
  start_from(*model.state, config, KeptParts::features);
  model.state->ctx.step = static_cast<uint64_t>(std::max<int64_t>(saved.step - 1, 0));
  return model;
}

}  // namespace moe
