// Everything a step works on: parameters, model, optimizer and the arenas, of one rank.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "core/config/train_config.h"
#include "core/model/model_summary.h"
#include "core/optim/optimizer.h"
#include "core/tensor/device_sums.h"

namespace moe {

// Bytes of one rank, by arena.
struct MemoryPlan {
  size_t parameters = 0, gradients = 0, optimizer = 0;
  size_t sums = 0;                                  // on a GPU: device copies of the layers' sums over tokens
  size_t memory = 0, evaluation_memory = 0;         // of earlier segments, in training and at evaluation
  size_t activations = 0, scratch = 0;              // with tokens spread evenly over the ranks
  bool needs_host = false;                          // on a GPU: some ops run on the CPU, over managed memory
  size_t worst_activations = 0, worst_scratch = 0;  // when one rank's experts get every token of the expert group
  size_t total() const { return lasting() + activations + scratch; }
  size_t worst_total() const { return lasting() + worst_activations + worst_scratch; }
  // What is there between steps.
  size_t lasting() const { return parameters + gradients + optimizer + sums + memory + evaluation_memory; }
};

struct StateSetup {
  const TrainConfig& config;
  SampleShape sample;
  const ProcessGroups& groups;
  RunLength run{};     // of the whole run
  bool trains = true;  // with gradients and optimizer
  // Per forward pass of a rank; 0: those of a micro-batch in training. A model that is only evaluated may have another
  // number than its configuration.
  int64_t sequences = 0;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int device_index = 0;
  std::shared_ptr<cuda::Queue> queue{};  // of the device; absent: made by TrainingState

  // Tokens of a sample.
  int64_t time() const { return sample.time > 0 ? sample.time : config.data.sequence; }
  // Sequences of the largest forward pass of any rank.
  int64_t micro_sequences() const;
  // Rows of a step's batch that are this rank's.
  Share rows() const;
};

// Runs one step of the real model in planning mode: exact, because it is the step itself. Throws UsageError for a
// configuration that no model can be built from.
MemoryPlan plan_memory(const StateSetup& setup);

class TrainingState {
 public:
  // Reserves memory for the worst case of `plan`; on the CPU pages are only taken when they are used. Throws
  // DeviceError when the device is absent or too small. Initial values are drawn when `initialise`.
  TrainingState(const StateSetup& setup, const MemoryPlan& plan, bool initialise);

  Context ctx;
  ParameterStore parameters;
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;  // absent where nothing is trained
  ContextMemory memory;                  // of this rank's rows of the training batch; none where nothing is remembered

  // Makes the model's sums those of all ranks' tokens.
  void complete_sums(const ProcessGroups& groups);

  const Arena& activations() const { return activations_; }
  const Arena& scratch() const { return scratch_; }
  // Bytes that were really used so far.
  size_t used_bytes() const;

 private:
  std::shared_ptr<cuda::Queue> queue_;  // on CUDA
  Arena activations_, scratch_;
  DeviceSums sums_;
};

// Some run, for models in which nothing follows a schedule.
inline constexpr RunLength kSomeRun{1000, 1000, 100};
// Calls use(model) with the model that the configuration describes, of one rank and without memory. Throws UsageError
// as building the model does.
void with_model(const TrainConfig& config, const SampleShape& sample, const RunLength& run,
                const std::function<void(const Model&)>& use);
// Experts per token when the run has ended, in the layer that has most; throws UsageError as building the model does. 0
// for a dense model.
int64_t experts_per_token(const TrainConfig& config, const RunLength& run = kSomeRun);
// What moe.lifecycle may not do (Strategy::fixed_experts, fixed_places); nothing where it may, and for a dense model.
struct FixedExperts {
  std::string number, places;
};
FixedExperts fixed_experts(const TrainConfig& config, const SampleShape& sample, const RunLength& run = kSomeRun);
// What the tensors of its checkpoints belong to, by name, those of all experts.
std::map<std::string, ParameterPlace> tensor_places(const TrainConfig& config, const SampleShape& sample,
                                                    const RunLength& run = kSomeRun);
// Of the model that the configuration describes, which is built for it without its memory.
ModelSummary summarise(const TrainConfig& config, const SampleShape& sample, const RunLength& run = kSomeRun);

}  // namespace moe
