// A model as the training step, evaluation and reports see it: a backbone, perhaps a final norm, and a head that
// predicts. Members are language_model and classifier, which say what is predicted; model.cpp has their table.
#pragma once
#include "core/base/table.h"
#include "core/model/backbone.h"
#include "core/model/head_layer.h"
#include "core/model/output_head.h"

namespace moe {

class Model {
 public:
  virtual ~Model() = default;
  Model(const Model&) = delete;

  // Runs the blocks; the final hidden states stay in the activations arena.
  virtual void forward(Context& ctx, const TokenBatch& batch) = 0;
  // Of the batch of the last forward().
  Outcome losses(Context& ctx, const TokenBatch& batch);
  // The same, then everything's gradients, of `gradient_scale` times the sum of the losses (weighted by batch.weights)
  // plus the balance losses, whose sums must be complete.
  virtual Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) = 0;
  // logits (rows, classes) of the given predictions of the last forward()
  Tensor logits(Context& ctx, int64_t first_row, int64_t rows);

  // Predictions for a sample of `time` tokens.
  virtual int64_t predictions_per_sample(int64_t time) const = 0;
  // How far a token may look without making the loss worthless.
  virtual Causality allowed_causality() const = 0;
  const OutputHead& head() const { return head_; }

  std::span<MoELayer* const> moe_layers() const { return backbone_.moe_layers(); }
  // All layers' sums over tokens in one range; the caller clears and reduces it.
  std::span<double> sums() { return backbone_.sums(); }
  // What the layers sum once the losses are known: likewise, but only complete after them.
  std::span<double> loss_sums() { return backbone_.loss_sums(); }
  // Adds the losses of the last forward().
  void observe_losses(Context& ctx, const Outcome& outcome) const {
    backbone_.observe_losses(ctx, outcome.losses, outcome.targets);
  }
  // Puts the tokens of the last forward() into the batch's memory, after backward if there is one.
  void remember(Context& ctx, const TokenBatch& batch) { backbone_.remember(ctx, batch); }
  const MemoryShape& memory_shape() const { return backbone_.memory_shape(); }
  bool needs_sums_before_backward() const { return backbone_.needs_sums_before_backward(); }
  Causality causality() const { return backbone_.causality(); }
  const Backbone& backbone() const { return backbone_; }

 protected:
  // The head's weight is the embedding's when tied, otherwise (classes, d_model).
  Model(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding,
        int64_t classes);

  // Of the last forward().
  virtual Predictions predictions(const TokenBatch& batch) const = 0;

  // x (predictions, d_model), as it came out of the backbone, through the final norm and what stands before the head to
  // head_input_; and back, d_x overwritten, d_input undefined on return.
  void finish(Context& ctx, Tensor x);
  void finish_backward(Context& ctx, Tensor d_x, Tensor d_input);

  Backbone backbone_;
  std::optional<Norm> final_norm_;  // where the blocks end without one
  std::optional<HeadLayer> head_layer_;
  OutputHead head_;
  Tensor head_input_;  // (predictions, d_model): forward() leaves it here
};

// A line of the table of models, one for each `task`.
struct ModelKind {
  const char* name;
  // Throws UsageError for options that the model does not have.
  std::unique_ptr<Model> (*make)(ParameterStore& parameters, const ModelSetup& setup);
};
const Table<ModelKind>& models();

}  // namespace moe
