#include "core/nn/attention.h"

#include <algorithm>
#include <cmath>

#include "core/nn/key_value_cache.h"
#include "core/nn/rope_scaling.h"
#include "core/ops/attention.h"
#include "core/ops/cached_attention.h"
#include "core/ops/context_memory.h"
#include "core/ops/qk_norm.h"
#include "core/ops/rope.h"
#include "core/tensor/compute_parts.h"
#include "core/tensor/recomputation.h"

namespace moe {

Attention::Attention(ParameterStore& parameters, const std::string& name, const ModelConfig& config,
                     const RunLength& run, int64_t layer, Parameter* relative_positions)
    : layout_{0, config.attention.heads, config.kv_heads(), config.d_head(), config.attention.causal},
      frequencies_(rope_frequencies(config)),
      norm_eps_(config.norm_eps),
      qkv_(parameters, {ParameterRole::attention, static_cast<int>(layer)}, name + ".qkv", config.d_model,
           layout_.width(), config.init_std, config.bias.attention != "none"),
      output_(parameters, {ParameterRole::attention, static_cast<int>(layer)}, name + ".output",
              layout_.heads * layout_.d_head, config.d_model,
              config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers)), config.bias.attention == "all"),
      layer_(layer),
      window_{config.attention.memory, 0, config.attention.position != "relative"},
      relative_positions_(relative_positions),
      dropout_(config.attention.dropout.make(run)) {
  MOE_CHECK((config.attention.position == "relative") == (relative_positions != nullptr),
            "position {}: a relative-position table must be given exactly for position: relative",
            config.attention.position);
  if (config.attention.qk_norm == "none") return;
  const bool is_full = config.attention.qk_norm == "full";
  const auto norm = [&](const char* which, int64_t heads) {
    return &parameters.add({ParameterRole::attention, static_cast<int>(layer)},
                           {.name = name + which,
                            .shape = Shape{(is_full ? heads : 1) * layout_.d_head},
                            .group = ParameterGroup::shared,
                            .initialisation = {Initialisation::Kind::constant, 1},
                            .decay = false});
  };
  q_norm_ = norm(".q_norm.weight", layout_.heads);
  k_norm_ = norm(".k_norm.weight", layout_.kv_heads);
}

Tensor Attention::forward(Context& ctx, const TokenBatch& batch, ConstTensor x) {
  const int64_t tokens = batch.tokens();
  const ComputeScope compute(ctx, ComputePart::attention, ComputeDirection::forward, tokens);
  saved_ = {};
  if (!ctx.replays) recent_ = {};
  saved_.x = x;
  saved_.layout = layout_;
  saved_.layout.time = batch.time;
  saved_.dropout = dropout_now(ctx, batch);
  if (batch.lengths && !layout_.causal) saved_.layout.lengths = batch.lengths.as<int32_t>();
  if (batch.document_begins) {
    saved_.layout.begins = batch.document_begins.as<int32_t>();
    saved_.layout.ends = batch.document_ends.as<int32_t>();
  }
  saved_.qkv = ctx.allocate(Shape{tokens, layout_.width()});
  if (q_norm_) {
    saved_.qkv_before_norm = ctx.allocate(Shape{tokens, layout_.width()});
    saved_.inverse_rms = ctx.allocate_wide(Shape{tokens, QkNormSpans::of(layout_, q_norm_->shape[0]).count()});
    qkv_.forward(ctx, saved_.qkv_before_norm, x);
    qk_norm_forward(ctx, saved_.qkv, saved_.inverse_rms, saved_.qkv_before_norm, q_norm_->value, k_norm_->value,
                    saved_.layout, norm_eps_);
  } else {
    qkv_.forward(ctx, saved_.qkv, x);
  }
  saved_.out = ctx.allocate(Shape{tokens, layout_.heads * layout_.d_head});
  saved_.logsumexp = ctx.allocate_wide(Shape{tokens, layout_.heads});
  attend(ctx, batch);
  const Tensor y = ctx.allocate(x.shape);
  output_.forward(ctx, y, saved_.out);
  return y;
}

AttentionDropout Attention::dropout_now(const Context& ctx, const TokenBatch& batch) const {
  if (!ctx.training) return {};
  return {now(dropout_, ctx), ctx.random(RandomPurpose::attention_dropout, static_cast<uint32_t>(layer_)),
          ctx.first_token / std::max<int64_t>(batch.time, 1)};
}

// Rotates queries and keys, then computes attention.
void Attention::attend(Context& ctx, const TokenBatch& batch) {
  const int64_t kept = std::min(batch.time, window_.size);
  if (batch.memory && kept > 0 && !ctx.replays) {
    const KeepScope keep(ctx);  // remember() needs them after backward
    // Keys are stored before rotation, because their position changes later.
    recent_ = ctx.allocate(Shape{batch.sequences, kept, layout_.memory_width()});
    take_recent(ctx, recent_, saved_.qkv, saved_.layout);
  }
  if (frequencies_.dims > 0) rope_forward(ctx, saved_.qkv, saved_.layout, frequencies_, batch.starts);
  if (batch.cache) {
    return cached_attention_forward(ctx, saved_.out, batch.cache->layer(layer_), saved_.qkv, batch.cache_rows,
                                    batch.starts, saved_.layout);
  }
  if (window_.size == 0) {
    return attention_forward(ctx, saved_.out, saved_.logsumexp, saved_.qkv, saved_.layout, saved_.dropout);
  }
  saved_.window = window_;
  if (batch.memory && batch.memory->filled() > 0) {
    saved_.window.filled = batch.memory->filled();
    saved_.memory = batch.memory->layer(layer_, batch.first_row, batch.sequences);
  }
  ScratchScope scratch(ctx);
  window_attention_forward(ctx, saved_.out, saved_.logsumexp, saved_.qkv, turned_memory(ctx, scratch),
                           relative_positions_ ? relative_positions_->value : Tensor{}, saved_.layout, saved_.window,
                           saved_.dropout);
}

// The context memory with rotated keys, as attention reads it. Backward recomputes it, which costs less than storing
// it.
Tensor Attention::turned_memory(Context& ctx, ScratchScope& scratch) const {
  if (!saved_.memory || frequencies_.dims == 0) return saved_.memory;
  const Tensor turned = scratch.allocate(saved_.memory.shape);
  turn_memory(ctx, turned, saved_.memory, saved_.layout, saved_.window.filled, frequencies_);
  return turned;
}

void Attention::attend_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out) {
  if (window_.size == 0) {
    return attention_backward(ctx, d_qkv, d_out, saved_.qkv, saved_.out, saved_.logsumexp, saved_.layout,
                              saved_.dropout);
  }
  ScratchScope scratch(ctx);
  const Parameter* positions = relative_positions_;
  window_attention_backward(ctx, d_qkv, positions ? positions->gradient : Tensor{}, d_out, saved_.qkv,
                            turned_memory(ctx, scratch), positions ? positions->value : Tensor{}, saved_.out,
                            saved_.logsumexp, saved_.layout, saved_.window, saved_.dropout);
}

void Attention::remember(Context& ctx, const TokenBatch& batch) {
  if (!recent_) return;
  append_recent(ctx, batch.memory->layer(layer_, batch.first_row, batch.sequences), recent_);
}

void Attention::backward(Context& ctx, Tensor d_x, ConstTensor d_y) {
  const ComputeScope compute(ctx, ComputePart::attention, ComputeDirection::backward, d_x.dim(0));
  ScratchScope scratch(ctx);
  const Tensor d_out = scratch.allocate(saved_.out.shape);
  output_.backward(ctx, d_out, d_y, saved_.out);
  const Tensor d_qkv = scratch.allocate(saved_.qkv.shape);
  attend_backward(ctx, d_qkv, d_out);
  if (frequencies_.dims > 0) rope_backward(ctx, d_qkv, saved_.layout, frequencies_);
  if (q_norm_) {
    qk_norm_backward(ctx, d_qkv, q_norm_->gradient, k_norm_->gradient, saved_.qkv_before_norm, q_norm_->value,
                     k_norm_->value, saved_.inverse_rms, saved_.layout);
  }
  qkv_.backward(ctx, d_x, d_qkv, saved_.x);
}

}  // namespace moe
