// S2MoE (arXiv 2503.23007): in training, each token and a noisy copy of it pass through the same router and experts,
// and a learned gate mixes the two results. An InfoNCE loss pulls the two views together. Evaluation uses no noise.
#include <algorithm>

#include "core/moe/info_nce.h"
#include "core/moe/routed_pass.h"
#include "core/nn/now.h"
#include "core/ops/elementwise.h"
#include "core/ops/feature_noise.h"
#include "core/ops/matmul.h"
#include "core/ops/merge_gate.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  std::string statistics = "causal";
  double decay = 0.99;
  ScheduleField noise{1, {0, 1e3}};
  ScheduleField uncertainty{0.01, {0, 1e6}};
  std::string on = "outputs";
  ScheduleField temperature{1, {1e-4, 1e4}};
  int64_t negatives = 512;

  void fields(FieldVisitor& v) override {
    v.field("statistics", statistics,
            "source of the noise's mean and deviation: the tokens of the whole sequence (includes later ones), the "
            "tokens up to the current one, or moving averages over earlier updates",
            {"sequence", "causal", "running"});
    v.field("decay", decay, "decay of the moving averages, per update (only with statistics: running)", {0, 0.999999});
    v.schedule("noise", noise, "Factor on the noise's mean and deviation; 0 = the copy equals the token.");
    v.schedule("uncertainty", uncertainty, "Coefficient of the InfoNCE loss.");
    v.field("on", on, "where the InfoNCE loss compares the two views: at the layer's inputs or outputs",
            {"inputs", "outputs"});
    v.schedule("temperature", temperature, "Temperature of the InfoNCE loss.");
    v.field("negatives", negatives,
            "block size of the InfoNCE loss: at most this many tokens of a sequence are contrasted with each other",
            {2, 65536});
  }
};

class StochasticStrategy : public RoutedStrategy {
 public:
  StochasticStrategy(const Options& options, const Setup& setup)
      : RoutedStrategy(setup),
        options_(options),
        layer_(setup.random_layer()),
        gate_(setup.add({.name = setup.name + ".merge_gate.weight",
                         .shape = Shape{1, setup.d_model()},
                         .group = ParameterGroup::shared,
                         .initialisation = {Initialisation::Kind::constant, 0}})),
        gate_bias_(setup.add({.name = setup.name + ".merge_gate.bias",
                              .shape = Shape{1},
                              .group = ParameterGroup::shared,
                              .initialisation = {Initialisation::Kind::constant, 0},
                              .decay = false})),
        measures_(setup.measures),
        uncertainty_(setup.measures->add_loss("uncertainty", options.uncertainty.make(setup.run))),
        gate_figure_(setup.measures->add_figure("merge_gate")),
        noise_(options.noise.make(setup.run)),
        temperature_(options.temperature.make(setup.run)),
        sums_(setup.sums) {
    traits_.training_passes = 2;
    // Noise statistics over the whole sequence make a token depend on later ones.
    if (options.statistics == "sequence") {
      traits_.training_causality = std::max(traits_.training_causality, Causality::sequence);
    }
    if (options.statistics != "running") return;
    moments_ = &setup.add({.name = setup.name + ".noise.moments",
                           .shape = Shape{2 * setup.d_model() + 1},
                           .group = ParameterGroup::untrained,
                           .initialisation = {Initialisation::Kind::constant, 0}});
    moment_range_ = setup.sums->reserve(static_cast<size_t>(2 * setup.d_model() + 1));
  }

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    if (!ctx.training) return clean_.forward(ctx, parts, router(), batch, x);
    const TokenBatch both = both_views(batch);
    const Tensor f = clean_.forward(ctx, parts, router(), both, x);

    add_noise(ctx, batch, x);
    const int64_t first_token = ctx.first_token;
    ctx.first_token += batch.global_places();  // the copies use other random numbers than the tokens
    const Tensor f_hat = noisy_.forward(ctx, parts, router(), both, x_hat_);
    ctx.first_token = first_token;

    if (uncertainty() > 0) compare_views(ctx, batch, x, f, f_hat);
    x_ = x, f_ = f, f_hat_ = f_hat;
    const Tensor y = ctx.allocate(x.shape);
    gates_ = ctx.allocate_wide(Shape{x.dim(0)});
    ScratchScope scratch(ctx);
    const Tensor logits = scratch.allocate_wide(Shape{x.dim(0), 1});
    linear_forward(ctx, logits, x, gate_.value);
    merge_gate_forward(ctx, y, gates_, f, f_hat, logits, gate_bias_.value);
    observe_gates(ctx, batch);
    return y;
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    const TokenBatch both = both_views(batch);
    ScratchScope scratch(ctx);
    const Tensor d_f = scratch.allocate(d_y.shape), d_f_hat = scratch.allocate(d_y.shape),
                 d_x_hat = scratch.allocate(d_y.shape), d_gate = scratch.allocate_wide(Shape{d_y.dim(0), 1});
    merge_gate_backward(ctx, d_f, d_f_hat, d_gate, gate_bias_.gradient, d_y, f_, f_hat_, gates_);
    linear_backward_weight(ctx, gate_.gradient, d_gate, x_);
    linear_backward_input(ctx, d_x, d_gate, gate_.value);
    fill_zero(ctx, d_x_hat);
    if (uncertainty() > 0) {
      const bool on_outputs = options_.on == "outputs";
      add(ctx, on_outputs ? d_f : d_x, on_outputs ? d_f : d_x, d_view_);
      add(ctx, on_outputs ? d_f_hat : d_x_hat, on_outputs ? d_f_hat : d_x_hat, d_view_hat_);
    }
    const int64_t first_token = ctx.first_token;
    ctx.first_token += batch.global_places();
    noisy_.backward(ctx, parts, router(), both, d_x_hat, d_f_hat);
    ctx.first_token = first_token;
    clean_.backward(ctx, parts, router(), both, d_x, d_f);
    feature_noise_backward(ctx, d_x, d_x_hat, gain_);
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    RoutedStrategy::after_step(ctx, load);
    if (moments_) update_moments(ctx, moments_->value, as_tensor(sums_->of(moment_range_)), options_.decay);
  }

 private:
  double uncertainty() const { return measures_->coefficient(uncertainty_); }
  // Losses that are means over tokens become means over both views.
  static TokenBatch both_views(TokenBatch batch) {
    batch.global_tokens *= 2;
    batch.global_sequences *= 2;
    return batch;
  }

  // x -> x_hat_ and gain_
  void add_noise(Context& ctx, const TokenBatch& batch, ConstTensor x) {
    x_hat_ = ctx.allocate(x.shape);
    gain_ = ctx.allocate(x.shape);
    ScratchScope scratch(ctx);
    const Shape shape = moments_ ? Shape{1, x.dim(1)} : x.shape;
    const Tensor mean = scratch.allocate_wide(shape), deviation = scratch.allocate_wide(shape);
    if (moments_) {
      moments_to_statistics(ctx, mean, deviation, moments_->value);
      if (ctx.observe) moment_sums(ctx, as_tensor(sums_->of(moment_range_)), x, batch.targets);
    } else {
      feature_statistics(ctx, mean, deviation, x, batch.lengths, batch.time,
                         options_.statistics == "causal" ? NoiseStatistics::causal : NoiseStatistics::sequence);
    }
    if (const double strength = now(noise_, ctx); strength != 1) {
      scale(ctx, mean, strength);
      scale(ctx, deviation, strength);
    }
    feature_noise_forward(ctx, x_hat_, gain_, x, mean, deviation, ctx.random(RandomPurpose::strategy_noise, layer_),
                          ctx.first_token);
  }

  void compare_views(Context& ctx, const TokenBatch& batch, ConstTensor x, ConstTensor f, ConstTensor f_hat) {
    const bool on_outputs = options_.on == "outputs";
    d_view_ = ctx.allocate(x.shape);
    d_view_hat_ = ctx.allocate(x.shape);
    ScratchScope scratch(ctx);
    const Tensor losses = scratch.allocate_wide(Shape{x.dim(0)});
    info_nce(ctx, batch, losses, d_view_, d_view_hat_, on_outputs ? f : x, on_outputs ? f_hat : x_hat_,
             {options_.negatives, now(temperature_, ctx)}, uncertainty() / static_cast<double>(batch.global_tokens));
    measures_->observe_sum(
        ctx, uncertainty_,
        [&](Tensor sum) {
          column_sums(ctx, sum, losses.reshape({x.dim(0), 1}), batch.targets);
        },
        static_cast<double>(batch.scored()));
  }

  void observe_gates(Context& ctx, const TokenBatch& batch) {
    measures_->observe_sum(
        ctx, gate_figure_,
        [&](Tensor sum) {
          column_sums(ctx, sum, gates_.reshape({gates_.dim(0), 1}), batch.targets);
        },
        static_cast<double>(batch.scored()));
  }

  Options options_;
  uint32_t layer_;
  Parameter& gate_;       // (1, d_model)
  Parameter& gate_bias_;  // (1)
  MeasureSet* measures_;
  size_t uncertainty_, gate_figure_;
  Scheduled noise_, temperature_;
  LayerSums* sums_;
  Parameter* moments_ = nullptr;  // (2 d_model + 1), with running statistics
  LayerSums::Range moment_range_;

  RoutedPass clean_, noisy_;
  ConstTensor x_;
  Tensor x_hat_, gain_, f_, f_hat_, gates_, d_view_, d_view_hat_;
};

}  // namespace

Member stochastic_strategy() {
  return member<Strategy, StochasticStrategy, Options>("stochastic",
                                                       "trains on each token and a noisy copy of it (S2MoE)");
}

}  // namespace moe
