// The output head: logits of rows, their cross-entropy, and backward. It only gets rows and targets, which are the
// tokens of a text or one row per image.
#pragma once
#include "core/config/sample_signal.h"
#include "core/nn/now.h"
#include "core/nn/parameter.h"
#include "core/ops/sample_signals.h"

namespace moe {

// Inputs and targets of the predictions.
struct Predictions {
  ConstTensor x;             // (predictions, d_model): input of the head
  ConstTensor targets;       // (predictions) i32; kIgnoreTarget for none
  int64_t per_sample = 1;    // consecutive predictions that belong to one sample
  ConstTensor weights{};     // (predictions) wide, or none: weight of each prediction's loss in the objective
  RoutingSignals routing{};  // (predictions)
};

// The results of the head.
struct Outcome {
  Tensor losses;   // (predictions): -ln p(target), 0 for ignored targets
  Tensor correct;  // (predictions) i32: the target had the largest logit
  // (samples, kNumMeasuredSignals), wide: 0 for signals that are not requested; absent if none is.
  Tensor signals{};
  ConstTensor targets{};  // (predictions) i32: the given targets
};

class OutputHead {
 public:
  // `weight` (classes, d_model) and `bias` (classes), which may be null, are not owned. Label smoothing in training is
  // as in core/ops/cross_entropy.h.
  OutputHead(Parameter& weight, Parameter* bias, SampleSignalSet signals, Scheduled smoothing);

  // With d_x (predictions, d_model), which is overwritten, also computes the gradients of `gradient_scale` times the
  // weighted sum of the losses, and the samples' signals.
  Outcome run(Context& ctx, const Predictions& predictions, Tensor d_x, double gradient_scale);
  // x (rows, d_model) -> logits (rows, classes)
  Tensor logits(Context& ctx, ConstTensor x) const;
  // Writes them to y (rows, classes).
  void logits(Context& ctx, Tensor y, ConstTensor x) const { product(ctx, y, x); }

  // d_y (rows, classes), the gradient of logits(x) -> d_x (rows, d_model), overwritten. Adds to the parameters'
  // gradients.
  void backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) const;

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
