#include "core/model/language_model.h"

#include "core/nn/token_embedding.h"

namespace moe {

LanguageModel::LanguageModel(ParameterStore& parameters, const ModelSetup& setup)
    : Model(parameters, setup,
            std::make_unique<TokenEmbedding>(parameters, setup.model.vocabulary_rows(setup.sample.vocab),
                                             setup.model.d_model, setup.model.init_std),
            setup.model.vocabulary_rows(setup.sample.vocab)) {}

void LanguageModel::check(const ModelConfig& model, const SampleShape&) {
  if (!model.attention.causal) {
    raise<UsageError>(
        "{}: must be true for task: language_model, which would otherwise read the tokens that it has to predict",
        model.attention.where("causal"));
  }
  if (model.pooling != "mean")
    raise<UsageError>("{}: only mean is possible unless task: classify", model.where("pooling"));
  if (model.head != "linear")
    raise<UsageError>("{}: {} is only possible with task: classify; use linear", model.where("head"), model.head);
}

void LanguageModel::forward(Context& ctx, const TokenBatch& batch) {
  finish(ctx, backbone_.forward(ctx, batch));
}

Predictions LanguageModel::predictions(const TokenBatch& batch) const {
  return {.x = head_input_,
          .targets = batch.targets,
          .per_sample = batch.time,
          .weights = batch.weights,
          .routing = backbone_.routing_signals()};
}

Outcome LanguageModel::losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) {
  const Tensor d_hidden = ctx.allocate(head_input_.shape);
  ScratchScope scratch(ctx);
  const Tensor d_input = scratch.allocate(head_input_.shape);
  const Outcome outcome = head_.run(ctx, predictions(batch), d_input, gradient_scale);
  finish_backward(ctx, d_hidden, d_input);
  TokenBatch judged = batch;
  judged.losses = {.losses = outcome.losses, .targets = outcome.targets, .weights = batch.weights};
  backbone_.backward(ctx, judged, d_hidden);
  return outcome;
}

}  // namespace moe
