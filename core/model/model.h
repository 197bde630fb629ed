// The interface of a model for the training step, evaluation and reports: a backbone, an optional final norm, and a
// head that predicts. Members are language_model and classifier, which define what is predicted; their table is in
// model.cpp.
#pragma once
#include <array>
#include <vector>

#include "core/base/table.h"
#include "core/model/backbone.h"
#include "core/model/head_layer.h"
#include "core/model/output_head.h"

namespace moe {

// The results of a sample that is compared with all others of an evaluation, in both directions: from its first part to
// the second parts, and back.
struct ComparedSample {
  std::array<double, 2> loss{};  // nats
  // Whether a candidate of its class is the nearest one, and among the nearest five.
  std::array<bool, 2> nearest{}, among_five{};
  bool classified = false;  // whether its class has the nearest mean of second parts
  bool counts = false;      // false: it has no class
};

class Model {
 public:
  virtual ~Model() = default;
  Model(const Model&) = delete;

  // A model whose losses compare samples with each other. The next forward passes are of `samples` samples over all
  // ranks: those of one step or of one evaluation.
  virtual bool compares_samples() const { return false; }
  virtual void begin(int64_t /*samples*/) {}
  // Called when all these passes are done, before any losses. Collective.
  virtual void complete(Context& /*ctx*/) {}
  // After an evaluation's complete(): the results of its samples [first, first + count). Evaluations call it instead of
  // losses() for such a model.
  virtual std::vector<ComparedSample> compared(int64_t /*first*/, int64_t /*count*/) const { return {}; }

  // Runs the blocks; the final hidden states stay in the activations arena.
  virtual void forward(Context& ctx, const TokenBatch& batch) = 0;
  // The losses of the batch of the last forward().
  virtual Outcome losses(Context& ctx, const TokenBatch& batch);
  // Computes the same, then the gradients of all parameters with respect to `gradient_scale` times the sum of the
  // losses (weighted by batch.weights) plus the balance losses, whose sums must be complete.
  virtual Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) = 0;
  // Logits (rows, classes) of the given predictions of the last forward().
  Tensor logits(Context& ctx, int64_t first_row, int64_t rows);
  // The same, appended to `list` in f32. Takes a few rows at a time: memory is planned for the logits of some rows
  // only.
  void append_logits(Context& ctx, int64_t first_row, int64_t rows, std::vector<float>& list);

  // (predictions, d_model): the rows from which the head predicted in the last forward(): the features of a
  // classifier's samples.
  ConstTensor head_input() const { return head_input_; }

  // Number of predictions for a sample of `time` tokens.
  virtual int64_t predictions_per_sample(int64_t time) const = 0;
  // Token ids are below this number, the tokenizer's. The embedding and a language model's head may have more rows
  // (model.vocab_size). 0: tokens have no ids.
  int64_t vocab() const { return vocab_; }
  const OutputHead& head() const { return head_; }

  std::span<MoELayer* const> moe_layers() const { return backbone_.moe_layers(); }
  // All layers' sums over tokens in one range. The caller clears and reduces it.
  std::span<double> sums() { return backbone_.sums(); }
  // The same for the layers' sums over losses, which are only complete when the losses are known.
  std::span<double> loss_sums() { return backbone_.loss_sums(); }
  // Adds the losses of the last forward() to these sums.
  void observe_losses(Context& ctx, const Outcome& outcome) const {
    backbone_.observe_losses(ctx, outcome.losses, outcome.targets);
  }
  // Appends the tokens of the last forward() to the batch's context memory. Call it after backward if there is one.
  void remember(Context& ctx, const TokenBatch& batch) { backbone_.remember(ctx, batch); }
  // See Backbone.
  void record_last_inputs(std::vector<float>* list) { backbone_.record_last_inputs(list); }
  const MemoryShape& memory_shape() const { return backbone_.memory_shape(); }
  // Whether the gradients of a micro-batch depend on the forward passes of the whole step.
  bool needs_forward_first() const { return compares_samples() || backbone_.needs_sums_before_backward(); }
  Causality causality() const { return backbone_.causality(); }
  const Backbone& backbone() const { return backbone_; }

 protected:
  // The head's weight is the embedding table if tied, otherwise a separate matrix (classes, d_model).
  Model(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding,
        int64_t classes);

  // The predictions of the last forward().
  virtual Predictions predictions(const TokenBatch& batch) const = 0;

  // Passes x (predictions, d_model), the backbone's output, through the final norm and the head layer, if there are
  // any, to head_input_. Backward overwrites d_x; d_input is undefined on return.
  void finish(Context& ctx, Tensor x);
  void finish_backward(Context& ctx, Tensor d_x, Tensor d_input);

  const int64_t vocab_;
  Backbone backbone_;
  std::optional<Norm> final_norm_;  // with pre-norm
  std::optional<HeadLayer> head_layer_;
  OutputHead head_;
  Tensor head_input_;  // (predictions, d_model): set by forward()
};

// A line in the table of models; there is one for each value of `task`. Its facts are static members of the model's
// class, so a class that lacks one does not compile.
struct ModelKind {
  const char* name;
  // Throws UsageError for options that the model does not support.
  std::unique_ptr<Model> (*make)(ParameterStore& parameters, const ModelSetup& setup);
  // Throws UsageError for settings and samples that make no sense with the model (`check`).
  void (*check)(const ModelConfig& model, const SampleShape& sample);
  // The weakest causality with which the loss is still meaningful (`kAllowedCausality`).
  Causality allowed_causality;
  // A row of a batch may continue the same row of the previous batch. Otherwise samples are independent, and there is
  // no context memory (`kReadsOn`).
  bool reads_on;
  // The modalities of its samples (`kModalities`).
  int64_t modalities;
};
const Table<ModelKind>& models();

}  // namespace moe
