// One update: forward, loss and backward of every micro-batch, reduction, clipping, the optimizer.
// docs/one_training_step.md walks through it.
#pragma once
#include "core/optim/gradient_reduction.h"
#include "core/schedule/scheduled.h"
#include "core/step/local_batch.h"
#include "core/step/training_state.h"

namespace moe {

struct StepOutcome {
  // Mean -ln p over the step's predictions on all ranks, nats; never weighted or with auxiliary losses.
  double loss = 0;
  double accuracy = 0;   // share of the predictions whose target has the largest logit
  double tokens = 0;     // number trained on: the samples' tokens, times the share of their predictions that are scored
  double auxiliary = 0;  // sum over layers of coefficient * balance loss
  double norm = 0;       // of the gradient, before clipping
  double learning_rate = 0;
  double seconds = 0;  // of forward and backward, mean over the ranks
  int signal = 0;      // that some rank received
  bool finite() const;
};

// Where the host spent the time of a step, in seconds. On a GPU the host only starts the work, so these say little.
struct StepTimes {
  double forward = 0, backward = 0;  // of all micro-batches; backward begins with the losses
  double reduction = 0;              // waiting for the gradients' sums after backward
  double update = 0;                 // norm, optimizer, rules
};

class TrainStep {
 public:
  TrainStep(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups, const RunLength& run = {});

  // Collective. `update` counts from 0; `signal` is the signal that this rank received, or 0. Parameters stay as they
  // are when the loss or the gradient is not finite. Afterwards the model's sums hold the whole step's routing
  // statistics.
  StepOutcome run(const LocalBatch& batch, int64_t update, double learning_rate, int signal);

  // The same without the optimizer: the reduced gradients stay in the buffers.
  StepOutcome accumulate(const LocalBatch& batch, int64_t update, int signal);

  // (global sequences, kNumMeasuredSignals): the signals that the last step measured of its samples, in the order of
  // the global batch, equal on every rank and for every layout; empty when the curriculum needs none.
  std::span<const double> sample_signals() const { return signals_; }

  const GradientReduction& reduction() const { return reduction_; }
  const StepTimes& times() const { return times_; }  // of the last run()

 private:
  struct Totals;
  StepOutcome accumulate(const LocalBatch& batch, int64_t update, int signal, GradientReduction::Sums sums);
  void clear_sums(const LocalBatch& batch);
  void add_micro_batch(const LocalBatch& batch, int64_t index, Totals& totals);
  TokenBatch micro_batch(const LocalBatch& batch, int64_t index);
  void collect_signals(const TokenBatch& micro, ConstTensor signals);
  void collect_sums(const LocalBatch& batch);
  double flops(int64_t tokens, int64_t time) const;

  TrainingState& state_;
  const TrainConfig& config_;
  const ProcessGroups& groups_;
  const Scheduled clip_norm_;
  GradientReduction reduction_;
  StepTimes times_;
  std::vector<double> signals_;
  std::vector<char> host_signals_;  // of a micro-batch
  BatchBuffers buffers_;
};

}  // namespace moe
