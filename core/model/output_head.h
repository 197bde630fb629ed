// The output head: logits of some rows, their cross-entropy, and the way back. It is told of rows and targets only,
// be they the tokens of a text or one for each image.
#pragma once
#include "core/config/sample_signal.h"
#include "core/nn/now.h"
#include "core/nn/parameter.h"
#include "core/ops/sample_signals.h"

namespace moe {

// What is to be predicted.
struct Predictions {
  ConstTensor x;             // (predictions, d_model): what the logits are made from
  ConstTensor targets;       // (predictions) i32; kIgnoreTarget for none
  int64_t per_sample = 1;    // neighbours that belong to one sample
  ConstTensor weights{};     // (predictions) wide, or none: of each one's loss in the objective
  RoutingSignals routing{};  // (predictions)
};

// What came of it.
struct Outcome {
  Tensor losses;          // (predictions): -ln p(target), 0 where ignored
  Tensor correct;         // (predictions) i32: the target had the largest logit
  Tensor signals{};       // (samples, kNumMeasuredSignals), wide: 0 where not asked for; absent when nothing was
  ConstTensor targets{};  // (predictions) i32: as they were given
};

class OutputHead {
 public:
  // `weight` (classes, d_model) and `bias` (classes), which may be null, belong to somebody else; label smoothing as in
  // core/ops/cross_entropy.h, in training.
  OutputHead(Parameter& weight, Parameter* bias, SampleSignalSet signals, Scheduled smoothing);

  // With d_x (predictions, d_model), which is overwritten: also the gradients of `gradient_scale` times the weighted
  // sum of the losses, and the samples' signals.
  Outcome run(Context& ctx, const Predictions& predictions, Tensor d_x, double gradient_scale);
  // x (rows, d_model) -> logits (rows, classes)
  Tensor logits(Context& ctx, ConstTensor x) const;

  const Parameter& weight() const { return weight_; }
  int64_t classes() const { return weight_.shape[0]; }

 private:
  // y (rows, classes)
  void product(Context& ctx, Tensor y, ConstTensor x) const;
  bool measures(SampleSignal signal) const { return signals_[index_of(signal)]; }

  Parameter& weight_;
  Parameter* bias_;
  SampleSignalSet signals_;
  Scheduled smoothing_;
};

}  // namespace moe
