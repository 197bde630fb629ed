#include "core/model/backbone.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/nn/gradient_observer.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"

namespace moe {

static FeedForwardShape feed_forward_shape(const ModelSetup& setup, int64_t d_ff) {
  const ModelConfig& config = setup.model;
  return {.d_model = config.d_model,
          .d_ff = d_ff,
          .activation = activation_from_name(config.activation),
          .input_std = config.init_std,
          .output_std = config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers)),
          .hidden_dropout = config.hidden_dropout.make(setup.run),
          .bias = config.bias.feed_forward,
          .recompute = config.recompute == "experts"};
}

Backbone::Backbone(ParameterStore& parameters, const ModelSetup& setup, std::unique_ptr<InputEmbedding> embedding)
    : attention_width_(setup.model.attention.heads * setup.model.d_head()),
      cached_width_(2 * setup.model.kv_heads() * setup.model.d_head()),
      modalities_(setup.sample.modalities),
      is_causal_(setup.model.attention.causal),
      memory_(MemoryShape::of(setup.model)),
      dropout_(setup.model.dropout.make(setup.run)),
      signals_(setup.signals),
      embedding_(std::move(embedding)) {
  const ModelConfig& config = setup.model;
  if (config.attention.position == "learned") {
    positions_.emplace(parameters, setup.sample.time / modalities_, config.d_model, config.init_std);
  }
  if (config.attention.position == "relative") {
    // Standard deviation 1 and one table for all layers, as in the published backbone.
    relative_positions_ =
        &parameters.add({ParameterRole::relative_position},
                        lookup_table("relative_positions.weight", memory_.positions, config.d_head(), 1));
  }
  const std::map<int64_t, MoEConfig> moe_configs = moe_blocks(config, setup.moe);
  for (int64_t i = 0; i < config.layers; ++i) {
    const int layer = static_cast<int>(i);
    auto make_feed_forward = [&](const std::string& name) -> std::unique_ptr<FeedForward> {
      const auto moe = moe_configs.find(i);
      if (moe == moe_configs.end()) {
        return std::make_unique<DenseFeedForward>(parameters, name + ".feed_forward",
                                                  feed_forward_shape(setup, config.dense_d_ff()),
                                                  ParameterPlace{ParameterRole::feed_forward, layer});
      }
      const int64_t d_ff = moe->second.d_ff > 0 ? moe->second.d_ff : config.dense_d_ff();
      auto moe_layer = std::make_unique<MoELayer>(
          BuildContext{.parameters = parameters,
                       .groups = setup.groups,
                       .moe = moe->second,
                       .expert = feed_forward_shape(setup, d_ff),
                       .init_std = config.init_std,
                       .router_bias = config.bias.router,
                       .vocab = modalities_ > 1 ? 0 : setup.sample.vocab,
                       .modalities = modalities_,
                       .run = setup.run,
                       .trains = setup.trains,
                       .name = name + ".moe",
                       .layer = layer,
                       .moe_layer = static_cast<int>(moe_layers_.size()),
                       .moe_layers = static_cast<int>(moe_configs.size()),
                       .moves_experts = setup.moves_experts,
                       .counts_pairs = setup.counts_pairs,
                       .replicas = setup.replicas,
                       .overlap = setup.overlap,
                       .all_to_all = setup.all_to_all,
                       .reports_variance = setup.signals.test(index_of(SampleSignal::expert_variance))});
      moe_layers_.push_back(moe_layer.get());
      return moe_layer;
    };
    blocks_.emplace_back(parameters, fmt::format("blocks.{}", layer), layer, config, setup.run, make_feed_forward,
                         moe_configs.count(i) > 0, relative_positions_);
  }
  check_uncertainty();
  bind_sums();
}

void Backbone::check_uncertainty() const {
  if (!signals_[index_of(SampleSignal::router_uncertainty)]) return;
  for (const MoELayer* layer : moe_layers_) {
    if (layer->traits().has_uncertainty) return;
  }
  raise<UsageError>(
      "curriculum.signals.router_uncertainty: no router of this model measures its uncertainty; use moe.router: bayesian");
}

void Backbone::bind_sums() {
  size_t num_sums = 0, num_loss_sums = 0;
  for (MoELayer* layer : moe_layers_) {
    num_sums += layer->num_sums();
    num_loss_sums += layer->num_loss_sums();
  }
  sums_.resize(num_sums);
  loss_sums_.resize(num_loss_sums);
  size_t begin = 0, loss_begin = 0;
  for (MoELayer* layer : moe_layers_) {
    layer->bind_sums(std::span(sums_).subspan(begin, layer->num_sums()));
    begin += layer->num_sums();
    layer->bind_loss_sums(std::span(loss_sums_).subspan(loss_begin, layer->num_loss_sums()));
    loss_begin += layer->num_loss_sums();
  }
}

void Backbone::observe_losses(Context& ctx, ConstTensor losses, ConstTensor targets) const {
  for (const MoELayer* layer : moe_layers_) layer->observe_losses(ctx, losses, targets);
}

bool Backbone::needs_sums_before_backward() const {
  return std::any_of(moe_layers_.begin(), moe_layers_.end(),
                     [](const MoELayer* layer) { return layer->needs_sums_before_backward(); });
}

Causality Backbone::causality() const {
  Causality furthest = is_causal_ ? Causality::causal : Causality::sequence;
  for (const MoELayer* layer : moe_layers_) furthest = std::max(furthest, layer->causality());
  return furthest;
}

static RandomKey embedding_dropout_key(const Context& ctx) {
  return ctx.random(RandomPurpose::embedding_dropout, 0);
}

Tensor Backbone::forward(Context& ctx, const TokenBatch& batch) {
  Tensor hidden = embedding_->forward(ctx, batch);
  if (positions_) positions_->forward(ctx, hidden, batch.time, batch.document_begins, batch.starts);
  if (ctx.training) dropout(ctx, hidden, now(dropout_, ctx), embedding_dropout_key(ctx), ctx.first_token);
  routing_signals_ = {};
  if (ctx.training) {
    const auto sums = [&](SampleSignal signal) {
      if (!signals_[index_of(signal)]) return Tensor{};
      const Tensor x = ctx.allocate_wide(Shape{batch.tokens()});
      fill_zero(ctx, x);
      return x;
    };
    routing_signals_.router_entropy = sums(SampleSignal::router_entropy);
    routing_signals_.expert_variance = sums(SampleSignal::expert_variance);
    routing_signals_.router_uncertainty = sums(SampleSignal::router_uncertainty);
    if (routing_signals_.any()) ctx.signals = &routing_signals_;
  }
  for (TransformerBlock& block : blocks_) hidden = block.forward(ctx, batch, hidden);
  ctx.signals = nullptr;
  return hidden;
}

void Backbone::remember(Context& ctx, const TokenBatch& batch) {
  for (TransformerBlock& block : blocks_) block.remember(ctx, batch);
}

double Backbone::mean_visible(int64_t time) const {
  if (memory_) return static_cast<double>(memory_.positions);
  return static_cast<double>(time / modalities_) * (is_causal_ ? 0.5 : 1);
}

void Backbone::backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden) {
  if (ctx.gradients) ctx.gradients->before_blocks(ctx);
  auto number = std::ssize(blocks_);
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    block->backward(ctx, batch, d_hidden);
    --number;
    if (ctx.gradients) ctx.gradients->block_complete(ctx, number);
  }
  if (ctx.training) dropout(ctx, d_hidden, now(dropout_, ctx), embedding_dropout_key(ctx), ctx.first_token);
  if (positions_) positions_->backward(ctx, d_hidden);
  embedding_->backward(ctx, batch, d_hidden);
}

}  // namespace moe
