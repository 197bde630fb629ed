// The part that language model and classifier share: embedding, positions and transformer blocks, with access to their
// MoE layers.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "core/config/sample_signal.h"
#include "core/moe/moe_layer.h"
#include "core/nn/input_embedding.h"
#include "core/nn/position_table.h"
#include "core/nn/transformer_block.h"
#include "core/ops/sample_signals.h"

namespace moe {

// The inputs from which a model is built.
struct ModelSetup {
  const ModelConfig& model;
  const MoEConfig& moe;
  SampleShape sample;  // its time must be set
  const ProcessGroups& groups;
  int64_t step_samples = 0;   // samples of a training step, over all ranks
  RunLength run;              // the run's length, which schedules refer to
  SampleSignalSet signals{};  // measured by losses_and_backward()
  ScheduleField label_smoothing{0};
  bool trains = true;
  bool moves_experts = false, counts_pairs = false;  // see BuildContext
  int64_t replicas = 0;                              // see BuildContext
  int64_t overlap = 1;                               // see BuildContext
  AllToAll all_to_all = AllToAll::automatic;         // see BuildContext
};

class Backbone {
 public:
  Backbone(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding);

  // Returns the last block's hidden states (tokens, d_model), in the activations arena.
  Tensor forward(Context& ctx, const TokenBatch& batch);
  // d_hidden: the gradient of the result on entry; undefined on return
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  // Appends the tokens of the last forward() to the batch's context memory. Call it when nothing reads the memory of
  // this batch any more.
  void remember(Context& ctx, const TokenBatch& batch);

  InputEmbedding& embedding() { return *embedding_; }
  std::span<MoELayer* const> moe_layers() const { return moe_layers_; }
  std::span<double> sums() { return sums_; }
  std::span<double> loss_sums() { return loss_sums_; }
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const;
  bool needs_sums_before_backward() const;
  // The weakest causality of all layers; at least `sequence` if attention is not causal.
  Causality causality() const;
  // Signals of the last forward() in training; absent if not requested.
  const RoutingSignals& routing_signals() const { return routing_signals_; }
  // From now on appends the input (d_model) of the last block's feed-forward part of every token to `list`; nullptr
  // stops it.
  void record_last_inputs(std::vector<float>* list) { blocks_.back().record_inputs(list); }
  int64_t layers() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t attention_width() const { return attention_width_; }  // heads * d_head
  const MemoryShape& memory_shape() const { return memory_; }
  // Elements of a token's keys and values in a layer.
  int64_t cached_width() const { return cached_width_; }
  // The number of positions that the model has a row for; none where positions are not learned.
  std::optional<int64_t> learned_positions() const {
    return positions_ ? std::optional(positions_->positions()) : std::nullopt;
  }
  // Average number of positions that a query attends to in samples of `time` tokens, with a full context memory.
  double mean_visible(int64_t time) const;
  // Products per query and attended position in forward: with keys, with values, and with relative positions if they
  // are learned.
  int attention_products() const { return relative_positions_ ? 3 : 2; }

 private:
  // Throws UsageError for a signal that no router has.
  void check_uncertainty() const;
  // Allocates the layers' sums over tokens, one after another.
  void bind_sums();

  int64_t attention_width_;
  int64_t cached_width_;
  int64_t modalities_;
  bool is_causal_;
  MemoryShape memory_;
  Scheduled dropout_;
  SampleSignalSet signals_;
  std::unique_ptr<InputEmbedding> embedding_;
  std::optional<PositionTable> positions_;
  Parameter* relative_positions_ = nullptr;  // (memory, d_head), shared by the layers
  std::deque<TransformerBlock> blocks_;
  std::vector<MoELayer*> moe_layers_;
  std::vector<double> sums_, loss_sums_;
  RoutingSignals routing_signals_;
};

}  // namespace moe
