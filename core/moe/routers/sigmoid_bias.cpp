// Scores are s = sigmoid(W x). The k experts with the largest s + b are chosen and weighted by s. The bias balances the
// experts without a loss: after each step b_i += rate * sign(mean load - load_i), from the counts of the whole step
// (Wang et al., 2024; DeepSeek-V3, 2024).
#include "core/moe/logit_router.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sigmoid_gating.h"

#include <algorithm>
#include <cmath>

#include "comm/communicator.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions {
  ScheduleField k{2, kExpertsPerToken};
  bool renormalise = true;
  double scale = 1;
  ScheduleField rate{0.001, {0, 1e3}};
  int64_t groups = 1, group_limit = 1;

  void fields(FieldVisitor& v) override {
    v.schedule("k", k, "Experts per token.");
    v.field("renormalise", renormalise, "divide the chosen experts' scores by their sum");
    v.field("scale", scale, "factor on the weights", {1e-3, 1e3});
    v.schedule("rate", rate, "Amount by which the bias changes in a step.");
    v.field("groups", groups, "number of equal groups of neighbouring experts; must divide the number of experts",
            {1, 1 << 16});
    v.field("group_limit", group_limit,
            "number of groups that a token may choose from: those with the largest sums of their two best scores",
            {1, 1 << 16});
    logit_fields(v);
  }
};

class SigmoidBiasRouter : public LogitRouter {
 public:
  SigmoidBiasRouter(const Options& options, const Setup& setup)
      : LogitRouter(setup, options, ScheduledK(options.k, setup.run, setup.experts, setup.moe.k_factor).largest()),
        k_(options.k, setup.run, setup.experts, setup.moe.k_factor),
        rate_(options.rate.make(setup.run)),
        limit_{options.groups, std::min(options.group_limit, options.groups)},
        weights_{options.renormalise, options.scale},
        bias_(setup.add(per_expert({.name = setup.name + ".router.bias",
                                    .shape = Shape{setup.experts},
                                    .group = ParameterGroup::untrained,
                                    .initialisation = {Initialisation::Kind::constant, 0}}))),
        measures_(*setup.measures),
        bias_figure_(measures_.add_figure("router_bias_rms")) {
    traits_ = k_.traits();
    if (options.groups > 1) {
      traits_.fixed_experts = "sigmoid_bias with groups: they consist of neighbouring experts";
    }
    if (!options.renormalise) {
      traits_.unlike_copies = "the sigmoid weights of copies add up, because they are not renormalised";
    }
    add_weight(setup);
    if (setup.trains) {
      require_gradient(options.k.place().to_string(), k_.smallest(), experts_, options.renormalise);
    }
    if (experts_ % options.groups != 0)
      raise<UsageError>("{}: {} experts cannot be divided into {} equal groups", options.where("groups"), experts_,
                        options.groups);
    if (const int64_t open = experts_ / options.groups * limit_.limit; k_.largest() > open)
      raise<UsageError>("{}: cannot choose {} experts from the {} experts of {} group(s)",
                        options.k.place().to_string(), k_.largest(), open, limit_.limit);
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    step_bias(ctx, bias_.value, as_tensor(load.counts), rate_.at(ctx.step));
  }

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    allocate_choice(ctx, routing, k());
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    {
      ScratchScope scratch(ctx);
      const Tensor scores = scratch.allocate_wide(routing.logits.shape);
      biased_sigmoid_scores(ctx, scores, routing.logits, bias_.value, limit_);
      select_top_k(ctx, routing.indices, scores, k_.at(ctx.step));
    }
    sigmoid_weights_forward(ctx, routing.weights, routing.logits, routing.indices, weights_);
    if (!ctx.observe) return;
    const auto tokens = static_cast<double>(batch.scored());
    const double rms = std::sqrt(sum_of_squares(ctx, bias_.value) / static_cast<double>(experts_));
    measures_.observe(ctx, bias_figure_, tokens * rms, tokens);
  }

  void choose_backward(Context& ctx, const TokenBatch&, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    sigmoid_weights_backward(ctx, d_logits, d_routing.weights, routing.logits, routing.indices, weights_);
  }

  const ScheduledK k_;
  const Scheduled rate_;
  const GroupLimit limit_;
  const SigmoidWeights weights_;
  Parameter& bias_;  // (experts)
  MeasureSet& measures_;
  size_t bias_figure_;
};

}  // namespace

Member sigmoid_bias_router() {
  return member<Router, SigmoidBiasRouter, Options>(
      "sigmoid_bias", "sigmoid scores, balanced without a loss by a bias that is adjusted after each step");
}

}  // namespace moe
