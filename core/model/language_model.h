// The decoder-only language model: embedding, transformer blocks, final norm, output head. There is one prediction per
// token.
#pragma once
#include "core/model/model.h"

namespace moe {

class LanguageModel : public Model {
 public:
  static constexpr Causality kAllowedCausality = Causality::causal;
  static constexpr bool kReadsOn = true;
  static constexpr int64_t kModalities = 1;
  static void check(const ModelConfig& model, const SampleShape& sample);

  LanguageModel(ParameterStore& parameters, const ModelSetup& setup);

  void forward(Context& ctx, const TokenBatch& batch) override;
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) override;

  int64_t predictions_per_sample(int64_t time) const override { return time; }

 private:
  Predictions predictions(const TokenBatch& batch) const override;
};

}  // namespace moe
