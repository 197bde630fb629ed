// The decoder-only language model: embedding, transformer blocks, final norm, output head. Every token is a prediction.
#pragma once
#include "core/model/model.h"

namespace moe {

class LanguageModel : public Model {
 public:
  LanguageModel(ParameterStore& parameters, const ModelSetup& setup);

  void forward(Context& ctx, const TokenBatch& batch) override;
  Outcome losses(Context& ctx, const TokenBatch& batch) override;
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) override;
  Tensor logits(Context& ctx, int64_t first_row, int64_t rows) override;

  int64_t predictions_per_sample(int64_t time) const override { return time; }
  Causality allowed_causality() const override { return Causality::causal; }
  const OutputHead& head() const override { return head_; }

 private:
  Predictions predictions(const TokenBatch& batch) const;

  RMSNorm final_norm_;
  OutputHead head_;  // its weight is the embedding's when tied
  struct {
    Tensor normed;  // (tokens, d_model), the head's input
  } saved_;
};

}  // namespace moe
