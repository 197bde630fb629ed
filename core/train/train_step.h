// One update: forward, loss and backward of every micro-batch, reduction, clipping, AdamW. docs/architecture.md walks
// through it.
#pragma once
#include "core/train/training_state.h"

namespace moe {

// This rank's share of the step's batch; targets may hold kIgnoreTarget.
struct LocalBatch {
  int64_t sequences = 0, time = 0;
  std::span<const int32_t> inputs, targets;  // (sequences, time)
  int64_t first_sequence = 0;                // in the step's global batch
  int64_t global_sequences = 0;
  std::span<const int32_t> domains{};  // (sequences), or none: where each one's text comes from
  std::span<const double> weights{};   // (sequences), or none: of each one's loss in the objective
};

struct StepOutcome {
  double loss = 0;    // mean -ln p over the step's tokens on all ranks, nats; never weighted or with auxiliary losses
  double tokens = 0;  // scored
  double auxiliary = 0;  // sum over layers of coefficient * balance loss
  double norm = 0;       // of the gradient, before clipping
  double learning_rate = 0;
  int signal = 0;  // that some rank received
  bool finite() const;
};

class TrainStep {
 public:
  TrainStep(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups)
      : state_(state), config_(config), groups_(groups) {}

  // `update` counts from 0; `signal` is what this rank received. Parameters stay as they are when loss or gradient are
  // not finite. Collective. Afterwards the model's sums hold the whole step's routing statistics.
  StepOutcome run(const LocalBatch& batch, int64_t update, double learning_rate, int signal);

  // The same without an update: the gradients stay in the buffers, reduced. For tests and for signals of difficulty.
  StepOutcome accumulate(const LocalBatch& batch, int64_t update, int signal);

  // (global sequences, kNumMeasuredSignals): what the last step measured of its samples, on every rank in the order of
  // the global batch, whatever the layout; empty when nothing was asked for.
  std::span<const double> sample_signals() const { return signals_; }

 private:
  TokenBatch micro_batch(const LocalBatch& batch, int64_t index);
  ConstTensor token_weights(std::span<const double> weights, int64_t time);
  void collect_signals(const TokenBatch& micro, ConstTensor signals);
  void collect_sums(const LocalBatch& batch);
  void reduce_gradients();

  TrainingState& state_;
  const TrainConfig& config_;
  const ProcessGroups& groups_;
  std::vector<double> signals_;
  std::vector<char> host_signals_, token_weights_;  // of a micro-batch
};

}  // namespace moe
