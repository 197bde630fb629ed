// What language model and classifier share: embedding, positions and transformer blocks, with all that has to be known
// of their MoE layers.
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

// What a model is made with.
struct ModelSetup {
  const ModelConfig& model;
  const MoEConfig& moe;
  SampleShape sample;  // with its time
  const ProcessGroups& groups;
  RunLength run;              // what schedules of paced quantities are measured against
  SampleSignalSet signals{};  // that losses_and_backward() measures
  ScheduleField label_smoothing{0};
  bool trains = true;
};

class Backbone {
 public:
  Backbone(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding);

  // The last block's hidden states (tokens, d_model), in the activations arena.
  Tensor forward(Context& ctx, const TokenBatch& batch);
  // d_hidden: the gradient of the result on entry; undefined on return
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  // Puts the tokens of the last forward() into the batch's memory, when all that reads it has been done.
  void remember(Context& ctx, const TokenBatch& batch);

  InputEmbedding& embedding() { return *embedding_; }
  std::span<MoELayer* const> moe_layers() const { return moe_layers_; }
  std::span<double> sums() { return sums_; }
  std::span<double> loss_sums() { return loss_sums_; }
  void observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const;
  bool needs_sums_before_backward() const;
  // Of the layer that looks furthest; `sequence` at least when attention is not causal.
  Causality causality() const;
  // Of the last forward() in training; absent where nobody asked.
  const RoutingSignals& routing_signals() const { return routing_signals_; }
  int64_t layers() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t attention_width() const { return attention_width_; }  // heads * d_head
  const MemoryShape& memory_shape() const { return memory_; }
  // Positions that a query meets on average in sequences of `time` tokens, with a full memory.
  double mean_visible(int64_t time) const;
  // Products of a query with every position that it meets, forward: keys, values, and positions where they are learned.
  int attention_products() const { return relative_positions_ ? 3 : 2; }

 private:
  int64_t attention_width_;
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
