#include "core/model/classifier.h"

#include "core/nn/patch_embedding.h"
#include "core/nn/token_embedding.h"

namespace moe {

// One line for each value of model.pooling.
struct PoolingEntry {
  const char* name;
  Pooling pooling;
};
static const Table<PoolingEntry>& poolings() {
  static const Table<PoolingEntry> table{
      "model.pooling", {{"mean", Pooling::mean}, {"class_token", Pooling::class_token}, {"last", Pooling::last}}};
  return table;
}

template <>
std::vector<std::string> words_of<Pooling>() {
  return poolings().names();
}

static bool has_class_token(const ModelConfig& model) {
  return poolings().at(model.pooling).pooling == Pooling::class_token;
}

// A class token comes before patches, but after texts, where it is pooled as the last token.
static Pooling pooling_of(const ModelSetup& setup) {
  return setup.sample.features == 0 && has_class_token(setup.model) ? Pooling::last
                                                                    : poolings().at(setup.model.pooling).pooling;
}

static std::unique_ptr<InputEmbedding> make_embedding(ParameterStore& parameters, const ModelSetup& s) {
  const int64_t d_model = s.model.d_model;
  if (s.sample.features == 0)
    return std::make_unique<TokenEmbedding>(parameters, s.model.vocabulary_rows(s.sample.vocab), d_model,
                                            s.model.init_std, has_class_token(s.model));
  return std::make_unique<PatchEmbedding>(parameters, s.sample.features, d_model, has_class_token(s.model),
                                          s.model.init_std);
}

Classifier::Classifier(ParameterStore& parameters, const ModelSetup& setup)
    : Model(parameters, setup, make_embedding(parameters, setup), setup.sample.classes), pooling_(pooling_of(setup)) {}

void Classifier::check(const ModelConfig& model, const SampleShape& sample) {
  if (model.tie_embeddings) {
    raise<UsageError>("{}: cannot be used with task: classify, whose output head has classes instead of tokens",
                      model.where("tie_embeddings"));
  }
  if (model.attention.causal && sample.features > 0 && has_class_token(model)) {
    raise<UsageError>(
        "{}: with causal attention the class token cannot attend to an image's patches, which come after it; set "
        "model.attention.causal: false",
        model.where("pooling"));
  }
  if (sample.classes < 2) raise<UsageError>("the data has {} classes; a classifier needs at least 2", sample.classes);
}

void Classifier::forward(Context& ctx, const TokenBatch& batch) {
  hidden_ = backbone_.forward(ctx, batch);
  const Tensor pooled = ctx.allocate(Shape{batch.sequences, hidden_.dim(1)});
  pool_forward(ctx, pooled, hidden_, batch.targets, pooling_);
  finish(ctx, pooled);
}

Predictions Classifier::predictions(const TokenBatch& batch) const {
  return {head_input_, batch.labels, 1, batch.weights};
}

// The blocks' signals per token -> their means over each sample's tokens.
RoutingSignals Classifier::pooled_signals(Context& ctx, const TokenBatch& batch) const {
  RoutingSignals pooled = backbone_.routing_signals();
  for (Tensor* signal : {&pooled.router_entropy, &pooled.expert_variance, &pooled.router_uncertainty}) {
    if (!*signal) continue;
    const Tensor mean = ctx.allocate_wide(Shape{batch.sequences, 1});
    pool_forward(ctx, mean, signal->reshape(Shape{batch.tokens(), 1}), batch.targets, Pooling::mean);
    *signal = mean.reshape(Shape{batch.sequences});
  }
  return pooled;
}

Outcome Classifier::losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) {
  const Tensor d_hidden = ctx.allocate(hidden_.shape);
  ScratchScope scratch(ctx);
  const Tensor d_input = scratch.allocate(head_input_.shape), d_pooled = scratch.allocate(head_input_.shape);
  Predictions wanted = predictions(batch);
  wanted.routing = pooled_signals(ctx, batch);
  const Outcome outcome = head_.run(ctx, wanted, d_input, gradient_scale);
  finish_backward(ctx, d_pooled, d_input);
  pool_backward(ctx, d_hidden, d_pooled, batch.targets, pooling_);
  TokenBatch judged = batch;
  judged.losses = {.losses = outcome.losses,
                   .targets = outcome.targets,
                   .tokens = batch.time,
                   .weights = batch.weights,
                   .tokens_of_weight = batch.time};
  backbone_.backward(ctx, judged, d_hidden);
  return outcome;
}

}  // namespace moe
