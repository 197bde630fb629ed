// Chooses every expert whose logit is positive and weights it by the logit: w = relu(W x). An L1 loss controls their
// number: after each step with more experts per token than wanted its coefficient is multiplied by a factor, with fewer
// it is divided by it (Wang et al., 2025, ReMoE, here per layer).
#include <algorithm>

#include "core/moe/logit_router.h"
#include "core/ops/gating.h"
#include "core/ops/relu_gating.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions {
  ScheduleField k{2, {1e-3, 1 << 16, "moe.experts"}};
  double l1 = 1e-8, factor = 1.2;
  void fields(FieldVisitor& v) override {
    v.schedule("k", k, "Target for the average number of experts per token.");
    v.field("l1", l1, "initial coefficient of the L1 loss", {1e-12, 1e3});
    v.field("factor", factor, "factor by which the coefficient is multiplied or divided after each step", {1, 10});
    logit_fields(v);
  }
};

// Bounds of the coefficient: it must not overflow if the router does not react to it.
constexpr double kLeast = 1e-12, kMost = 1e3;

class ReluRouter : public LogitRouter {
 public:
  ReluRouter(const Options& options, const Setup& setup)
      : LogitRouter(setup, options, 1),
        wanted_(
            options.k.make(setup.run, {options.k.range().min, static_cast<double>(setup.experts) / setup.moe.k_factor,
                                       options.k.range().at_most})),
        k_factor_(setup.moe.k_factor),
        factor_(options.factor),
        coefficient_(setup.add({.name = setup.name + ".router.l1",
                                .shape = Shape{1},
                                .group = ParameterGroup::untrained,
                                .initialisation = {Initialisation::Kind::constant, options.l1}})),
        measures_(*setup.measures),
        loss_(measures_.add_loss("router_l1", ScheduleField(1).make(setup.run))),
        experts_figure_(measures_.add_figure("experts_per_token")) {
    traits_.k = experts_;
    traits_.k_at = [wanted = wanted_, factor = k_factor_](uint64_t update) { return factor * wanted.at(update); };
    traits_.final_k = traits_.mean_k =
        traits_.k_at(static_cast<uint64_t>(std::max<int64_t>(setup.run.total_updates, 1) - 1));
    // Weights are logits: two copies with half the logit each add up to the original expert's output.
    add_weight(setup, ParameterGroup::shared, PerExpert::divided);
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    if (load.tokens() == 0) return;
    const double mean = load.assignments() / load.tokens(), wanted = traits_.k_at(ctx.step);
    if (mean == wanted) return;
    scale_within(ctx, coefficient_.value, mean > wanted ? factor_ : 1 / factor_, kLeast, kMost);
  }

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    allocate_choice(ctx, routing, experts_);
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    relu_gating_forward(ctx, routing.indices, routing.weights, routing.logits);
    // Padding counts as 0 in the loss's mean, so the divisor is known before any sum over ranks and micro-batches.
    const auto tokens = static_cast<double>(batch.scored());
    measures_.observe_sum(
        ctx, loss_,
        [&](Tensor sum) { scaled_weight_sum(ctx, sum, routing.weights, batch.targets, coefficient_.value); }, tokens);
    measures_.observe_sum(
        ctx, experts_figure_, [&](Tensor sum) { count_assignments(ctx, sum, routing.indices, batch.targets); }, tokens);
  }

  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    relu_gating_backward(ctx, d_logits, d_routing.weights, routing.indices, batch.targets, coefficient_.value,
                         1 / static_cast<double>(batch.global_tokens));
  }

  const Scheduled wanted_;
  const double k_factor_, factor_;
  Parameter& coefficient_;  // (1)
  MeasureSet& measures_;
  size_t loss_, experts_figure_;
};

}  // namespace

Member relu_router() {
  return member<Router, ReluRouter, Options>(
      "relu", "every expert with a positive logit; an adaptive L1 loss controls their number");
}

}  // namespace moe
