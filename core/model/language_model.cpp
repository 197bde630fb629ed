#include "core/model/language_model.h"

#include <algorithm>
#include <cmath>

#include "core/ops/cross_entropy.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/matmul.h"

namespace moe {

// Logits are made, scored and turned into gradients in chunks of about this many bytes, so that they stay in the cache
// and never need memory for the whole batch.
static constexpr int64_t kLogitBytes = int64_t{8} << 20;
// On a GPU the products want many rows, and logits leave the cache anyway.
static constexpr int64_t kLogitBytesOnDevice = int64_t{512} << 20;

static Parameter matrix(const std::string& name, int64_t rows, int64_t columns, double std) {
  return {name, Shape{rows, columns}, ParameterGroup::shared, {Initialisation::Kind::normal, std}};
}

static Parameter lookup_table(const std::string& name, int64_t rows, int64_t columns, double std) {
  Parameter table = matrix(name, rows, columns, std);
  table.lookup = true;
  return table;
}

static FeedForwardShape feed_forward_shape(const ModelConfig& config, int64_t d_ff) {
  return {config.d_model, d_ff, activation_from_name(config.activation), config.init_std,
          config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers))};
}

LanguageModel::LanguageModel(ParameterStore& parameters, const Setup& setup)
    : vocab_(setup.vocab),
      attention_width_(setup.model.attention.heads * setup.model.d_head()),
      dropout_(setup.model.dropout),
      embedding_(
          parameters.add(lookup_table("embedding.weight", setup.vocab, setup.model.d_model, setup.model.init_std))),
      final_norm_(parameters, "final_norm", setup.model.d_model, setup.model.norm_eps),
      head_(setup.model.tie_embeddings
                ? embedding_
                : parameters.add(matrix("head.weight", setup.vocab, setup.model.d_model, setup.model.init_std))),
      signals_(setup.signals) {
  const ModelConfig& config = setup.model;
  if (config.attention.position == "learned") {
    positions_ = &parameters.add(lookup_table("positions.weight", setup.context, config.d_model, config.init_std));
  }
  const std::vector<bool> is_moe = config.moe_layers();
  const int num_moe = static_cast<int>(std::count(is_moe.begin(), is_moe.end(), true));
  for (int64_t i = 0; i < config.layers; ++i) {
    const int layer = static_cast<int>(i);
    auto make_feed_forward = [&](const std::string& name) -> std::unique_ptr<FeedForward> {
      if (!is_moe[static_cast<size_t>(i)]) {
        return std::make_unique<DenseFeedForward>(parameters, name + ".feed_forward",
                                                  feed_forward_shape(config, config.dense_d_ff()));
      }
      const int64_t d_ff = setup.moe.d_ff > 0 ? setup.moe.d_ff : config.dense_d_ff();
      auto moe_layer = std::make_unique<MoELayer>(
          name + ".moe",
          MoELayer::Setup{parameters, setup.groups, setup.moe, layer, static_cast<int>(moe_layers_.size()), num_moe,
                          setup.vocab, feed_forward_shape(config, d_ff), config.init_std, setup.run});
      moe_layers_.push_back(moe_layer.get());
      return moe_layer;
    };
    blocks_.emplace_back(parameters, fmt::format("blocks.{}", layer), layer, config, make_feed_forward);
  }
  size_t num_sums = 0;
  for (const MoELayer* layer : moe_layers_) num_sums += layer->num_sums();
  if (moe_layers_.empty() && (measures(SampleSignal::router_entropy) || measures(SampleSignal::expert_variance))) {
    throw UsageError("curriculum.signals: router_entropy and expert_variance need a MoE layer; this model has none");
  }
  sums_.resize(num_sums);
  size_t begin = 0;
  for (MoELayer* layer : moe_layers_) {
    layer->bind_sums(std::span(sums_).subspan(begin, layer->num_sums()));
    begin += layer->num_sums();
  }
}

bool LanguageModel::needs_sums_before_backward() const {
  return std::any_of(moe_layers_.begin(), moe_layers_.end(),
                     [](const MoELayer* layer) { return layer->needs_sums_before_backward(); });
}

Causality LanguageModel::causality() const {
  Causality furthest = Causality::causal;
  for (const MoELayer* layer : moe_layers_) furthest = std::max(furthest, layer->causality());
  return furthest;
}

static RandomKey embedding_dropout_key(const Context& ctx) {
  return ctx.random(RandomPurpose::embedding_dropout, 0);
}

void LanguageModel::forward(Context& ctx, const TokenBatch& batch) {
  const int64_t tokens = batch.tokens(), d_model = embedding_.shape[1];
  Tensor hidden = ctx.allocate(Shape{tokens, d_model});
  embedding_forward(ctx, hidden, embedding_.value, batch.ids);
  if (positions_) {
    MOE_CHECK(batch.time <= positions_->shape[0], "{} positions, {} are learned", batch.time, positions_->shape[0]);
    saved_.position_ids = ctx.allocate(Shape{tokens}, DType::i32);
    position_ids(ctx, saved_.position_ids, batch.time);
    ScratchScope scratch(ctx);
    const Tensor positions = scratch.allocate(hidden.shape);
    embedding_forward(ctx, positions, positions_->value, saved_.position_ids);
    add(ctx, hidden, hidden, positions);
  }
  if (ctx.training) dropout(ctx, hidden, dropout_, embedding_dropout_key(ctx), ctx.first_token);
  routing_signals_ = {};
  if (ctx.training) {
    const auto sums = [&](SampleSignal signal) {
      if (!measures(signal)) return Tensor{};
      const Tensor x = ctx.allocate_wide(Shape{tokens});
      fill_zero(ctx, x);
      return x;
    };
    routing_signals_.router_entropy = sums(SampleSignal::router_entropy);
    routing_signals_.expert_variance = sums(SampleSignal::expert_variance);
    if (routing_signals_.router_entropy || routing_signals_.expert_variance) ctx.signals = &routing_signals_;
  }
  for (TransformerBlock& block : blocks_) hidden = block.forward(ctx, batch, hidden);
  ctx.signals = nullptr;
  saved_.normed = final_norm_.forward(ctx, hidden);
}

Tensor LanguageModel::logits(Context& ctx, int64_t first_row, int64_t rows) {
  const Tensor result = ctx.allocate(Shape{rows, vocab_});
  linear_forward(ctx, result, saved_.normed.slice(first_row, rows), head_.value);
  return result;
}

LanguageModel::Outcome LanguageModel::run_head(Context& ctx, const TokenBatch& batch, Tensor d_normed,
                                               double gradient_scale) {
  const int64_t tokens = batch.tokens();
  Outcome outcome{ctx.allocate_wide(Shape{tokens}), ctx.allocate(Shape{tokens}, DType::i32)};
  const bool measured = d_normed && signals_.any();
  TokenSignals signals{outcome.losses};
  CrossEntropyExtras extras;
  if (measured && (measures(SampleSignal::entropy) || measures(SampleSignal::gradient))) {
    extras.entropy = ctx.allocate_wide(Shape{tokens});
    extras.residual = ctx.allocate_wide(Shape{tokens});
    signals.entropy = extras.entropy, signals.residual = extras.residual, signals.hidden = saved_.normed;
  }
  const int64_t bytes = ctx.device == Device::cpu ? kLogitBytes : kLogitBytesOnDevice;
  const int64_t fitting = bytes / (vocab_ * static_cast<int64_t>(size_of(ctx.dtype)));
  const int64_t chunk = std::clamp<int64_t>(fitting, 64, std::max<int64_t>(tokens, 64));
  ScratchScope scratch(ctx);
  const Tensor logits = scratch.allocate(Shape{std::min(chunk, tokens), vocab_});
  for (int64_t begin = 0; begin < tokens; begin += chunk) {
    const int64_t rows = std::min(chunk, tokens - begin);
    const Tensor part = logits.slice(0, rows), x = saved_.normed.slice(begin, rows);
    linear_forward(ctx, part, x, head_.value);
    const CrossEntropyExtras chunk_extras{batch.weights && d_normed ? batch.weights.slice(begin, rows) : ConstTensor{},
                                          extras.entropy ? extras.entropy.slice(begin, rows) : Tensor{},
                                          extras.residual ? extras.residual.slice(begin, rows) : Tensor{}};
    cross_entropy(ctx, outcome.losses.slice(begin, rows), outcome.correct.slice(begin, rows), part,
                  batch.targets.slice(begin, rows), gradient_scale, chunk_extras);
    if (!d_normed) continue;
    linear_backward_weight(ctx, head_.gradient, part, x);
    linear_backward_input(ctx, d_normed.slice(begin, rows), part, head_.value);
  }
  if (measured) {
    signals.routing = routing_signals_;
    outcome.signals = ctx.allocate_wide(Shape{batch.sequences, kNumMeasuredSignals});
    sample_signals(ctx, outcome.signals, signals, batch.targets, batch.time);
  }
  return outcome;
}

LanguageModel::Outcome LanguageModel::losses(Context& ctx, const TokenBatch& batch) {
  return run_head(ctx, batch, {}, 0);
}

LanguageModel::Outcome LanguageModel::losses_and_backward(Context& ctx, const TokenBatch& batch,
                                                          double gradient_scale) {
  const Tensor d_hidden = ctx.allocate(saved_.normed.shape);
  ScratchScope scratch(ctx);
  const Tensor d_normed = scratch.allocate(saved_.normed.shape);
  const Outcome outcome = run_head(ctx, batch, d_normed, gradient_scale);
  fill_zero(ctx, d_hidden);
  final_norm_.backward(ctx, d_hidden, d_normed);
  backward(ctx, batch, d_hidden);
  return outcome;
}

void LanguageModel::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) block->backward(ctx, batch, d_hidden);
  if (ctx.training) dropout(ctx, d_hidden, dropout_, embedding_dropout_key(ctx), ctx.first_token);
  if (positions_) embedding_backward(ctx, positions_->gradient, d_hidden, saved_.position_ids);
  embedding_backward(ctx, embedding_.gradient, d_hidden, batch.ids);
}

}  // namespace moe
