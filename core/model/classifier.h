// The classifier: embedding of patches or tokens, transformer blocks, one pooled row per sample, norm, output head.
// There is one prediction per sample.
#pragma once
#include "core/model/model.h"
#include "core/ops/pooling.h"

namespace moe {

class Classifier : public Model {
 public:
  static constexpr Causality kAllowedCausality = Causality::sequence;
  static constexpr bool kReadsOn = false;
  static constexpr int64_t kModalities = 1;
  static void check(const ModelConfig& model, const SampleShape& sample);

  Classifier(ParameterStore& parameters, const ModelSetup& setup);

  void forward(Context& ctx, const TokenBatch& batch) override;
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) override;

  int64_t predictions_per_sample(int64_t) const override { return 1; }

 private:
  Predictions predictions(const TokenBatch& batch) const override;
  RoutingSignals pooled_signals(Context& ctx, const TokenBatch& batch) const;

  Pooling pooling_;
  Tensor hidden_;  // (tokens, d_model), output of the last block
};

}  // namespace moe
