// The decoder-only language model: embedding, transformer blocks, final norm, output head with its loss.
#pragma once
#include <deque>
#include <vector>

#include "core/config/sample_signal.h"
#include "core/moe/moe_layer.h"
#include "core/nn/transformer_block.h"
#include "core/ops/sample_signals.h"

namespace moe {

class LanguageModel {
 public:
  struct Setup {
    const ModelConfig& model;
    const MoEConfig& moe;
    int64_t vocab = 0;
    int64_t context = 0;  // positions of a learned position table
    const ProcessGroups& groups;
    RunLength run;              // what schedules of paced quantities are measured against
    SampleSignalSet signals{};  // that losses_and_backward() measures
  };
  LanguageModel(ParameterStore& parameters, const Setup& setup);

  // Runs the blocks; the final hidden states stay in the activations arena.
  void forward(Context& ctx, const TokenBatch& batch);

  // Outcome of the head for the tokens of the last forward().
  struct Outcome {
    Tensor losses;     // (tokens): -ln p(target), 0 where ignored
    Tensor correct;    // (tokens) i32: the target had the largest logit
    Tensor signals{};  // (sequences, kNumMeasuredSignals), wide: 0 where not asked for; absent when nothing was
  };
  Outcome losses(Context& ctx, const TokenBatch& batch);
  // The same, then everything's gradients, of `gradient_scale` times the sum of the losses (weighted by batch.weights)
  // plus the balance losses, whose sums must be complete.
  Outcome losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale);

  // logits (rows, vocab) of the given rows of the last forward()
  Tensor logits(Context& ctx, int64_t first_row, int64_t rows);

  std::span<MoELayer* const> moe_layers() const { return moe_layers_; }
  // All layers' sums over tokens in one range; the caller clears and reduces it.
  std::span<double> sums() { return sums_; }
  bool needs_sums_before_backward() const;
  Causality causality() const;  // of the layer that looks furthest
  int64_t vocab() const { return vocab_; }
  int64_t d_model() const { return embedding_.shape[1]; }
  int64_t layers() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t attention_width() const { return attention_width_; }  // heads * d_head
  bool is_tied() const { return &embedding_ == &head_; }

 private:
  Outcome run_head(Context& ctx, const TokenBatch& batch, Tensor d_normed, double gradient_scale);
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  int64_t vocab_, attention_width_;
  double dropout_;
  Parameter& embedding_;            // (vocab, d_model)
  Parameter* positions_ = nullptr;  // (context, d_model), with learned positions
  std::deque<TransformerBlock> blocks_;
  RMSNorm final_norm_;
  Parameter& head_;  // (vocab, d_model); the embedding itself when tied
  std::vector<MoELayer*> moe_layers_;
  std::vector<double> sums_;
  bool measures(SampleSignal signal) const { return signals_[index_of(signal)]; }

  SampleSignalSet signals_;
  RoutingSignals routing_signals_;
  struct {
    Tensor position_ids;
    Tensor normed;  // (tokens, d_model), the head's input
  } saved_;
};

}  // namespace moe
