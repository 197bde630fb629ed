// The state that a step works on, of one rank: parameters, model, optimizer and arenas.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "core/config/train_config.h"
#include "core/model/model_cost.h"
#include "core/model/model_summary.h"
#include "core/ops/packed_weights.h"
#include "core/optim/optimizer.h"
#include "core/tensor/device_sums.h"

namespace moe {

// Memory of one rank in bytes, by arena.
struct MemoryPlan {
  size_t parameters = 0, gradients = 0, optimizer = 0;
  size_t copies = 0;                                // room for copies of other ranks' experts, with their gradients
  size_t sums = 0;                                  // on a GPU: device copies of the layers' sums over tokens
  size_t packed_weights = 0;                        // on the CPU: weights in bf16 that several products use
  size_t messages = 0;                              // on the CPU: gradients on their way to other ranks
  size_t memory = 0, evaluation_memory = 0;         // context memory, in training and at evaluation
  size_t activations = 0, scratch = 0;              // with tokens spread evenly over the ranks
  bool needs_host = false;                          // on a GPU: some ops run on the CPU, over managed memory
  size_t worst_activations = 0, worst_scratch = 0;  // when one rank's experts get every token of the expert group
  size_t total() const { return lasting() + activations + scratch; }
  size_t worst_total() const { return lasting() + worst_activations + worst_scratch; }
  // Memory in use between steps.
  size_t lasting() const {
    return parameters + gradients + optimizer + copies + sums + packed_weights + messages + memory + evaluation_memory;
  }
};

struct StateSetup {
  const TrainConfig& config;
  SampleShape sample;
  const ProcessGroups& groups;
  RunLength run{};     // length of the whole run
  bool trains = true;  // false: no gradients and no optimizer
  // Number of sequences in a forward pass of a rank; 0: of a micro-batch in training. A model that is only evaluated
  // may use another number than its configuration.
  int64_t sequences = 0;
  Precision precision{};
  Device device = Device::cpu;
  int device_index = 0;
  std::shared_ptr<cuda::Queue> queue{};  // of the device; if absent, TrainingState makes one

  // Number of tokens of a sample.
  int64_t time() const { return sample.time > 0 ? sample.time : config.data.sequence; }
  // Number of sequences in the largest forward pass of any rank.
  int64_t micro_sequences() const;
  // This rank's rows of a step's batch.
  Share rows() const;
};

// Runs one step of the real model in planning mode, so the result is exact. Throws UsageError for a configuration that
// no model can be built from.
MemoryPlan plan_memory(const StateSetup& setup);

// The micro-batch with which memory is planned: the largest one of a run, whose tensors are not allocated. It has every
// tensor that a batch of such samples may have in training or, by ctx.training, at evaluation.
TokenBatch planned_batch(Context& ctx, const StateSetup& setup, const Model& model, const ContextMemory& memory);

class TrainingState {
 public:
  // Reserves memory for the worst case of `plan`; on the CPU only pages that are touched become resident. Throws
  // DeviceError when the device is absent or too small. Draws initial values if `initialise`.
  TrainingState(const StateSetup& setup, const MemoryPlan& plan, bool initialise);

  Context ctx;
  ParameterStore parameters;
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;  // absent where nothing is trained
  ContextMemory memory;  // of this rank's rows of the training batch; empty without model.attention.memory

  // When the forward passes of a step or evaluation are done: reduces the model's sums over tokens over all ranks, and
  // lets the model exchange what it compares samples by (Model::complete).
  void complete_sums(const ProcessGroups& groups);

  const Arena& activations() const { return activations_; }
  const Arena& scratch() const { return scratch_; }
  // Peak of the memory that was used so far, in bytes.
  size_t used_bytes() const;

 private:
  std::shared_ptr<cuda::Queue> queue_;  // on CUDA
  Arena activations_, scratch_;
  PackedWeights packed_weights_;
  DeviceSums sums_;
};

// An arbitrary length, for models in which nothing follows a schedule.
inline constexpr RunLength kSomeRun{1000, 1000, 100};
// Builds the configured model for one rank, without allocating its tensors, and calls use(model). Throws UsageError in
// the same cases as building the model.
void with_model(const TrainConfig& config, const SampleShape& sample, const RunLength& run,
                const std::function<void(const Model&)>& use);
// Experts per token at the end of the run, in the layer with the most; 0 for a dense model. Throws UsageError in the
// same cases as building the model.
int64_t experts_per_token(const TrainConfig& config, const RunLength& run = kSomeRun);
// Reasons why the number (RouterTraits::fixed_experts) or the places (fixed_places) of experts cannot change during a
// run; empty where they can, and for a dense model.
struct FixedExperts {
  std::string number, places;
};
FixedExperts fixed_experts(const TrainConfig& config, const SampleShape& sample, const RunLength& run = kSomeRun);
// The part of the model that each tensor of its checkpoints belongs to, by name, for all experts.
std::map<std::string, ParameterPlace> tensor_places(const TrainConfig& config, const SampleShape& sample,
                                                    const RunLength& run = kSomeRun);
// What a step of the configured model computes, by part.
ModelCost model_cost(const TrainConfig& config, const SampleShape& sample, const RunLength& run = kSomeRun);
// Summarises the configured model, which is built without allocating its tensors.
ModelSummary summarise(const TrainConfig& config, const SampleShape& sample, const RunLength& run = kSomeRun);

}  // namespace moe
