// One update: forward, loss and backward of every micro-batch, reduction, clipping, the optimizer.
// docs/one_training_step.md walks through it.
#pragma once
#include "core/schedule/scheduled.h"
#include "core/step/local_batch.h"
#include "core/step/training_state.h"

namespace moe {

struct StepOutcome {
  // Mean -ln p over the step's predictions on all ranks, nats; never weighted or with auxiliary losses.
  double loss = 0;
  double accuracy = 0;   // share of the predictions that had the largest logit
  double tokens = 0;     // trained on: with all their predictions scored, those of the step's samples
  double auxiliary = 0;  // sum over layers of coefficient * balance loss
  double norm = 0;       // of the gradient, before clipping
  double learning_rate = 0;
  double seconds = 0;  // of forward and backward, mean over the ranks
  int signal = 0;      // that some rank received
  bool finite() const;
};

class TrainStep {
 public:
  TrainStep(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups, const RunLength& run = {})
      : state_(state), config_(config), groups_(groups), clip_norm_(config.train.clip_norm.make(run)) {}

  // `update` counts from 0; `signal` is what this rank received. Parameters stay as they are when loss or gradient are
  // not finite. Collective. Afterwards the model's sums hold the whole step's routing statistics.
  StepOutcome run(const LocalBatch& batch, int64_t update, double learning_rate, int signal);

  // The same without an update: the gradients stay in the buffers, reduced. For tests and for signals of difficulty.
  StepOutcome accumulate(const LocalBatch& batch, int64_t update, int signal);

  // (global sequences, kNumMeasuredSignals): what the last step measured of its samples, on every rank in the order of
  // the global batch, whatever the layout; empty when nothing was asked for.
  std::span<const double> sample_signals() const { return signals_; }

 private:
  struct Totals;
  void clear_sums(const LocalBatch& batch);
  void add_micro_batch(const LocalBatch& batch, int64_t index, Totals& totals);
  TokenBatch micro_batch(const LocalBatch& batch, int64_t index);
  void collect_signals(const TokenBatch& micro, ConstTensor signals);
  void collect_sums(const LocalBatch& batch);
  void reduce_gradients();
  double flops(int64_t tokens, int64_t time) const;

  TrainingState& state_;
  const TrainConfig& config_;
  const ProcessGroups& groups_;
  const Scheduled clip_norm_;
  std::vector<double> signals_;
  std::vector<char> host_signals_;  // of a micro-batch
  BatchBuffers buffers_;
};

}  // namespace moe
