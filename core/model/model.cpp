#include "core/model/model.h"

#include <algorithm>

#include "core/model/classifier.h"
#include "core/model/language_model.h"
#include "core/model/pair_model.h"
#include "core/ops/elementwise.h"
#include "core/tensor/copy.h"

namespace moe {

static Parameter& head_weight(ParameterStore& parameters, const ModelConfig& model, Backbone& backbone,
                              int64_t classes) {
  if (model.tie_embeddings) return *backbone.embedding().table();
  return parameters.add({ParameterRole::head}, {"head.weight",
                                                Shape{classes, model.d_model},
                                                ParameterGroup::shared,
                                                {Initialisation::Kind::normal, model.init_std}});
}

static Parameter* head_bias(ParameterStore& parameters, const ModelConfig& model, int64_t classes) {
  return model.bias.head ? &parameters.add({ParameterRole::head}, bias_vector("head.bias", classes)) : nullptr;
}

Model::Model(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding,
             int64_t classes)
    : vocab_(setup.sample.vocab),
      backbone_(parameters, setup, std::move(embedding)),
      final_norm_(NormPlace::of(setup.model).before
                      ? std::optional<Norm>(std::in_place, parameters, "final_norm", setup.model)
                      : std::nullopt),
      head_layer_(setup.model.head == "tanh" ? std::optional<HeadLayer>(std::in_place, parameters, setup.model.d_model,
                                                                        setup.model.init_std, setup.model.bias.head)
                                             : std::nullopt),
      head_(head_weight(parameters, setup.model, backbone_, classes), head_bias(parameters, setup.model, classes),
            setup.signals, setup.label_smoothing.make(setup.run)) {}

void Model::finish(Context& ctx, Tensor x) {
  const Tensor normed = final_norm_ ? final_norm_->forward(ctx, x) : x;
  head_input_ = head_layer_ ? head_layer_->forward(ctx, normed) : normed;
}

void Model::finish_backward(Context& ctx, Tensor d_x, Tensor d_input) {
  ScratchScope scratch(ctx);
  Tensor d_normed = d_input;
  if (head_layer_) {
    d_normed = scratch.allocate(d_input.shape);
    head_layer_->backward(ctx, d_normed, d_input);
  }
  if (!final_norm_) return copy(ctx, d_x, d_normed);
  fill_zero(ctx, d_x);
  final_norm_->backward(ctx, d_x, d_normed);
}

Outcome Model::losses(Context& ctx, const TokenBatch& batch) {
  return head_.run(ctx, predictions(batch), {}, 0);
}

Tensor Model::logits(Context& ctx, int64_t first_row, int64_t rows) {
  return head_.logits(ctx, head_input_.slice(first_row, rows));
}

void Model::append_logits(Context& ctx, int64_t first_row, int64_t rows, std::vector<float>& list) {
  constexpr int64_t kRows = 64;  // OutputHead::run() plans at least so many, where there are so many
  ScratchScope scratch(ctx);
  const Tensor buffer = scratch.allocate(Shape{std::min(rows, kRows), head_.classes()});
  for (int64_t row = 0; row < rows; row += kRows) {
    const int64_t count = std::min(kRows, rows - row);
    const Tensor part = buffer.slice(0, count);
    head_.logits(ctx, part, head_input_.slice(first_row + row, count));
    append_floats(ctx, list, part);
  }
}

template <class M>
static ModelKind kind(const char* name) {
  return {.name = name,
          .make = [](ParameterStore& parameters, const ModelSetup& setup) -> std::unique_ptr<Model> {
            return std::make_unique<M>(parameters, setup);
          },
          .check = M::check,
          .allowed_causality = M::kAllowedCausality,
          .reads_on = M::kReadsOn,
          .modalities = M::kModalities};
}

const Table<ModelKind>& models() {
  static const Table<ModelKind> table{
      "task", {kind<LanguageModel>("language_model"), kind<Classifier>("classify"), kind<PairModel>("pairs")}};
  return table;
}

}  // namespace moe
