// The classifier: embedding of patches or tokens, transformer blocks, one pooled row for each sample, norm, output
// head. Every sample is one prediction.
#pragma once
#include "core/model/model.h"
#include "core/ops/pooling.h"

namespace moe {

class Classifier : public Model {
 public:
  Classifier(ParameterStore& parameters, const ModelSetup& setup);

  void forward(Context& ctx, const TokenBatch& batch) override;
  Outcome losses(Context& ctx, const TokenBatch& batch) override;
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) override;
  Tensor logits(Context& ctx, int64_t first_row, int64_t rows) override;

  int64_t predictions_per_sample(int64_t) const override { return 1; }
  Causality allowed_causality() const override { return Causality::sequence; }
  const OutputHead& head() const override { return head_; }

 private:
  Predictions predictions(const TokenBatch& batch) const;
  RoutingSignals pooled_signals(Context& ctx, const TokenBatch& batch) const;

  Pooling pooling_;
  RMSNorm norm_;
  OutputHead head_;
  struct {
    Tensor hidden;  // (tokens, d_model), of the last block
    Tensor normed;  // (sequences, d_model), the head's input
  } saved_;
};

}  // namespace moe
