// topk under a distribution over the router's matrix. `variational`: a Gaussian for each weight, with means and
// deviations trained on the evidence lower bound (Blundell et al., 2015) by the local reparameterisation (Kingma et
// al., 2015); training samples the logits. `ensemble`: several matrices, of which each token draws one in training
// (Thompson sampling; Osband et al., 2016, "Bootstrapped DQN"). Evaluation takes the posterior mean of the logits. The
// uncertainty of a token is the mean standard deviation of its chosen experts' logits.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "comm/communicator.h"
#include "core/moe/logit_router.h"
#include "core/ops/competition.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/posterior.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  std::string posterior = "variational";
  double deviation = 0.02, prior = 0.1;
  ScheduleField kl{1, {0, 1e9}};
  int64_t heads = 4;
  std::string draw = "token";
  void fields(FieldVisitor& v) override {
    v.field("posterior", posterior,
            "variational = a Gaussian for each weight, from which training samples the logits; ensemble = several "
            "matrices, of which training draws one",
            {"variational", "ensemble"});
    v.field("deviation", deviation, "initial standard deviation of each weight (only with posterior: variational)",
            {1e-6, 10});
    v.field("prior", prior, "standard deviation of the weights' prior N(0, prior^2) (only with posterior: variational)",
            {1e-4, 1e3});
    v.schedule(
        "kl", kl,
        "Coefficient of the divergence of the weights' distribution from the prior, which is divided by the run's "
        "number of training tokens (only with posterior: variational).");
    v.field("heads", heads, "number of matrices (only with posterior: ensemble)", {2, 64});
    v.field("draw", draw,
            "token: each token draws its matrix; sequence: the tokens of a sequence share one (only with posterior: "
            "ensemble)",
            {"token", "sequence"});
    softmax_fields(v);
  }
};

class BayesianRouter : public SoftmaxRouter {
 protected:
  BayesianRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options),
        measures_(*setup.measures),
        sums_(*setup.sums),
        by_expert_(sums_.reserve(2 * static_cast<size_t>(setup.experts))),
        uncertainty_(measures_.add_figure(kRouterUncertainty)) {
    traits_.has_uncertainty = true;
    const Scheduled none = ScheduleField(0).make(setup.run);
    measures_.add_loss("least_expert_uncertainty", none, by_expert_, extreme<std::less<>>);
    measures_.add_loss("largest_expert_uncertainty", none, by_expert_, extreme<std::greater<>>);
  }

  // The standard deviations of the logits (tokens, experts), before the temperature.
  static Tensor& deviation(Routing& routing) { return routing.extra[0]; }
  static const Tensor& deviation(const Routing& routing) { return routing.extra[0]; }

  MeasureSet& measures_;

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) final {
    SoftmaxRouter::choose(ctx, batch, routing);
    const int64_t tokens = routing.x.dim(0);
    routing.uncertainty = ctx.allocate_wide(Shape{tokens});
    chosen_deviation(ctx, routing.uncertainty, deviation(routing), routing.indices);
    measures_.observe_sum(
        ctx, uncertainty_,
        [&](Tensor sum) {
          column_sums(ctx, sum, routing.uncertainty.reshape({tokens, 1}), batch.targets);
        },
        static_cast<double>(batch.scored()));
    if (ctx.observe) observe_experts(ctx, batch, routing);
  }

  // By expert: its tokens, and the sum of the deviations of its logit for them.
  void observe_experts(Context& ctx, const TokenBatch& batch, const Routing& routing) {
    ScratchScope scratch(ctx);
    const Tensor of_chosen = scratch.allocate_wide(routing.indices.shape);
    gather_chosen(ctx, of_chosen, deviation(routing), routing.indices);
    const std::span<double> sums = sums_.of(by_expert_);
    const size_t experts = sums.size() / 2;
    assignment_sums(ctx, as_tensor(sums.first(experts)), as_tensor(sums.last(experts)), routing.indices, of_chosen,
                    batch.targets);
  }

  // The mean deviation of the expert for whose tokens it is the smallest, or largest.
  template <class Compare>
  static std::optional<double> extreme(std::span<const double> sums) {
    const size_t experts = sums.size() / 2;
    std::optional<double> found;
    for (size_t e = 0; e < experts; ++e) {
      if (sums[e] == 0) continue;
      const double mean = sums[experts + e] / sums[e];
      if (!found || Compare()(mean, *found)) found = mean;
    }
    return found;
  }

  LayerSums& sums_;
  const LayerSums::Range by_expert_;
  const size_t uncertainty_;
};

class VariationalRouter : public BayesianRouter {
 public:
  VariationalRouter(const Options& options, const Setup& setup)
      : BayesianRouter(options, setup),
        log_deviation_(
            setup.add(per_expert({.name = setup.name + ".router.log_deviation.weight",
                                  .shape = Shape{setup.experts, setup.d_model()},
                                  .group = ParameterGroup::shared,
                                  .initialisation = {Initialisation::Kind::constant, std::log(options.deviation)},
                                  .decay = false}))),
        prior_(options.prior),
        training_tokens_(setup.run.tokens_per_update * static_cast<double>(setup.run.total_updates)),
        kl_(measures_.add_loss("posterior_kl", options.kl.make(setup.run))) {
    add_weight(setup);
  }

 private:
  void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    SoftmaxRouter::logits_forward(ctx, batch, routing);
    deviation(routing) = ctx.allocate_wide(routing.logits.shape);
    {
      ScratchScope scratch(ctx);
      linear_forward(ctx, deviation(routing), squares(ctx, scratch, routing), variances(ctx, scratch));
    }
    const RandomKey key = noise_key(ctx, 0);
    sample_logits_forward(ctx, routing.logits, deviation(routing), ctx.training ? &key : nullptr, ctx.first_token);
    const auto scored = static_cast<double>(batch.scored());
    measures_.observe_sum(
        ctx, kl_,
        [&](Tensor sum) {
          gaussian_kl_sum(ctx, sum, expert_weight().value, log_deviation_.value, prior_, scored / divisor());
        },
        scored);
  }

  void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    SoftmaxRouter::logits_backward(ctx, batch, d_x, d_logits, routing);
    ScratchScope scratch(ctx);
    const Tensor d_variance = scratch.allocate_wide(d_logits.shape),
                 d_variances = scratch.allocate_wide(log_deviation_.shape), d_squares = scratch.allocate(d_x.shape);
    const RandomKey key = noise_key(ctx, 0);
    sample_logits_backward(ctx, d_variance, d_logits, deviation(routing), ctx.training ? &key : nullptr,
                           ctx.first_token);
    fill_zero(ctx, d_variances);
    linear_backward_weight(ctx, d_variances, d_variance, squares(ctx, scratch, routing));
    variance_backward(ctx, log_deviation_.gradient, d_variances, log_deviation_.value);
    linear_backward_input(ctx, d_squares, d_variance, variances(ctx, scratch));
    square_backward(ctx, d_x, d_squares, routing.x);
    // Each micro-batch adds its share of the whole step's gradient.
    const double share = static_cast<double>(batch.scored()) / static_cast<double>(batch.global_tokens);
    gaussian_kl_backward(ctx, expert_weight().gradient, log_deviation_.gradient, expert_weight().value,
                         log_deviation_.value, prior_, measures_.coefficient(kl_) * share / divisor());
  }

  // x^2 (tokens, d_model), and the weights' variances (experts, d_model).
  static Tensor squares(Context& ctx, ScratchScope& scratch, const Routing& routing) {
    const Tensor result = scratch.allocate(routing.x.shape);
    square_forward(ctx, result, routing.x);
    return result;
  }
  Tensor variances(Context& ctx, ScratchScope& scratch) const {
    const Tensor result = scratch.allocate(log_deviation_.shape, log_deviation_.value.dtype);
    variance_forward(ctx, result, log_deviation_.value);
    return result;
  }
  Parameter& expert_weight() const { return *traits_.directions.rows; }  // the means, (experts, d_model)
  double divisor() const { return std::max(training_tokens_, 1.0); }

  Parameter& log_deviation_;  // (experts, d_model)
  const double prior_, training_tokens_;
  const size_t kl_;
};

class EnsembleRouter : public BayesianRouter {
 public:
  EnsembleRouter(const Options& options, const Setup& setup)
      : BayesianRouter(options, setup),
        heads_(options.heads),
        per_sequence_(options.draw == "sequence"),
        weights_(setup.add(per_expert({.name = setup.name + ".router.heads.weight",
                                       .shape = Shape{setup.experts, options.heads * setup.d_model()},
                                       .group = ParameterGroup::shared,
                                       .initialisation = {Initialisation::Kind::normal, setup.init_std}}))) {
    traits_.directions = {nullptr, nullptr, false, "each expert has several rows, one of each matrix"};
  }

 private:
  void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    const int64_t tokens = routing.x.dim(0);
    routing.logits = ctx.allocate_wide(Shape{tokens, experts_});
    deviation(routing) = ctx.allocate_wide(routing.logits.shape);
    ScratchScope scratch(ctx);
    const Tensor all = scratch.allocate_wide(Shape{tokens, experts_ * heads_});
    linear_forward(ctx, all, routing.x, rows(weights_.value));
    const RandomKey key = noise_key(ctx, 0);
    choose_member_forward(ctx, routing.logits, deviation(routing), all, draw(ctx, batch, key));
  }

  void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Tensor d_all = scratch.allocate_wide(Shape{routing.x.dim(0), experts_ * heads_});
    const RandomKey key = noise_key(ctx, 0);
    choose_member_backward(ctx, d_all, d_logits, draw(ctx, batch, key));
    linear_backward_weight(ctx, rows(weights_.gradient), d_all, routing.x);
    linear_backward_input(ctx, d_x, d_all, rows(weights_.value), true);
  }

  // One row for each expert and matrix, (experts * heads, d_model).
  Tensor rows(const Tensor& weights) const { return weights.reshape({experts_ * heads_, weights_.shape[1] / heads_}); }
  MemberDraw draw(const Context& ctx, const TokenBatch& batch, const RandomKey& key) const {
    return {.key = ctx.training ? &key : nullptr,
            .first_token = ctx.first_token,
            .tokens_per_draw = per_sequence_ ? std::max<int64_t>(batch.time, 1) : 1};
  }

  const int64_t heads_;
  const bool per_sequence_;
  Parameter& weights_;  // (experts, heads * d_model)
};

void* make_bayesian(const FieldSet& fields, const void* context) {
  const auto& options = static_cast<const Options&>(fields);
  const auto& setup = *static_cast<const Router::Setup*>(context);
  Router* router = nullptr;
  if (options.posterior == "ensemble") {
    router = new EnsembleRouter(options, setup);
  } else {
    router = new VariationalRouter(options, setup);
  }
  return router;
}

}  // namespace

Member bayesian_router() {
  return {"bayesian", "topk under a distribution over the router's matrix, which says how uncertain its logits are",
          []() -> std::unique_ptr<FieldSet> { return std::make_unique<Options>(); }, make_bayesian};
}

}  // namespace moe
