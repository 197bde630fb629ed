// The choice is an action of a policy (Rosenbaum et al., 2018, "Routing networks"; Clark et al., 2022, RL-R): in
// training k experts are drawn without replacement from p = softmax(W x), and the router learns by REINFORCE (Williams,
// 1992) from the losses that its tokens had: -A ln p(choice) - entropy H(p), A = baseline - loss without gradient.
// Evaluation takes the k largest logits. docs/rewards.md has the whole method.
#include <optional>
#include <span>

#include "comm/communicator.h"
#include "core/moe/logit_router.h"
#include "core/ops/feature_noise.h"
#include "core/ops/matmul.h"
#include "core/ops/policy.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  ScheduleField coefficient{0.1, {0, 1e6}}, entropy{0.01, {0, 1e6}}, baseline{0.01, {0, 1e6}};
  double decay = 0.99;
  bool gate_gradient = true;
  void fields(FieldVisitor& v) override {
    v.schedule("coefficient", coefficient,
               "Coefficient of the policy loss -A ln p(choice), with A = baseline - the token's loss.");
    v.schedule("entropy", entropy, "Coefficient of the entropy bonus, which keeps the router's choice random.");
    v.schedule("baseline", baseline, "Coefficient of the squared error with which the baseline learns.");
    v.field("decay", decay, "decay of the moving average of the losses from which the baseline starts, per update",
            {0, 0.999999});
    v.field("gate_gradient", gate_gradient,
            "the router also gets the model's gradient through the weights of the chosen experts; false = it learns "
            "from its own loss (and balance losses on its probabilities) alone");
    softmax_fields(v);
  }
};

class ReinforceRouter : public SoftmaxRouter {
 public:
  ReinforceRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options, ScheduledK(options.k, setup.run, setup.experts, setup.moe.k_factor), true),
        gate_gradient_(options.gate_gradient),
        decay_(options.decay),
        learned_(setup.add({.name = setup.name + ".router.baseline.weight",
                            .shape = Shape{1, setup.d_model()},
                            .group = ParameterGroup::shared,
                            .initialisation = {Initialisation::Kind::constant, 0},
                            .decay = false})),
        moments_(setup.add({.name = setup.name + ".router.baseline.moments",
                            .shape = Shape{3},
                            .group = ParameterGroup::untrained,
                            .initialisation = {Initialisation::Kind::constant, 0}})),
        measures_(*setup.measures),
        entropy_range_(setup.sums->reserve(2)),
        entropy_loss_(measures_.add_loss("negative_router_entropy", options.entropy.make(setup.run), entropy_range_,
                                         negative_mean)),
        sums_(*setup.loss_sums),
        loss_measures_(*setup.loss_measures),
        range_(sums_.reserve(kPolicyTerms + 1)),
        policy_loss_(
            loss_measures_.add_loss("policy_loss", options.coefficient.make(setup.run), range_, mean_of<kPolicyLoss>)),
        baseline_loss_(loss_measures_.add_loss("baseline_error", options.baseline.make(setup.run), range_,
                                               mean_of<kBaselineError>)) {
    add_weight(setup);
    learned_.lookup = true;  // not used by the model's forward function
    moments_.lookup = true;
  }

  void after_step(Context& ctx, const LoadStats&) override {
    update_moments(ctx, moments_.value, as_tensor(sums_.of(range_).subspan(kTokenLoss, 3)), decay_);
  }

 private:
  using Value = std::optional<double>;
  static Value negative_mean(std::span<const double> sums) {
    return sums[1] == 0 ? std::nullopt : Value(-sums[0] / sums[1]);
  }
  template <PolicyTerm kTerm>
  static Value mean_of(std::span<const double> sums) {
    return sums[kPolicyTerms] == 0 ? std::nullopt : Value(sums[kTerm] / sums[kPolicyTerms]);
  }

  Tensor scores(Context& ctx, ScratchScope& scratch, const TokenBatch&, const Routing& routing) override {
    if (!ctx.training) return {};
    const Tensor drawn = scratch.allocate_wide(routing.logits.shape);
    gumbel_scores(ctx, drawn, routing.logits, noise_key(ctx, 0), ctx.first_token);
    return drawn;
  }

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    SoftmaxRouter::choose(ctx, batch, routing);
    measures_.observe_sum(
        ctx, entropy_loss_, [&](Tensor sum) { entropy_sum(ctx, sum, routing.probabilities, batch.targets); },
        static_cast<double>(batch.scored()));
  }

  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    if (gate_gradient_) SoftmaxRouter::choose_backward(ctx, batch, d_logits, d_routing, routing);
    const double per_token = 1 / static_cast<double>(batch.global_tokens);
    entropy_backward(ctx, d_logits, routing.probabilities, -measures_.coefficient(entropy_loss_) * per_token,
                     batch.targets);
    if (batch.losses) learn(ctx, batch, d_logits, routing, per_token);
  }

  // The policy loss, and the baseline's. A scored token counts in their means even if its sample has no label.
  void learn(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing, double per_token) {
    ScratchScope scratch(ctx);
    const int64_t tokens = routing.x.dim(0);
    const Tensor learned = scratch.allocate_wide(Shape{tokens, 1}), d_learned = scratch.allocate_wide(learned.shape),
                 terms = scratch.allocate_wide(Shape{tokens, kPolicyTerms});
    linear_forward(ctx, learned, routing.x, learned_.value);
    policy_backward(ctx, d_logits, d_learned, terms,
                    {.logits = routing.logits,
                     .indices = routing.indices,
                     .learned = learned,
                     .moments = moments_.value,
                     .targets = batch.targets,
                     .losses = batch.losses},
                    {.policy = loss_measures_.coefficient(policy_loss_) * per_token,
                     .error = loss_measures_.coefficient(baseline_loss_) * per_token});
    linear_backward_weight(ctx, learned_.gradient, d_learned, routing.x);
    const std::span<double> sums = sums_.of(range_);
    column_sums(ctx, as_tensor(sums.first(kPolicyTerms)), terms, batch.targets);
    if (!ctx.planning) sums[kPolicyTerms] += static_cast<double>(batch.scored());
  }

  const bool gate_gradient_;
  const double decay_;
  Parameter& learned_;  // (1, d_model): the baseline's part that depends on the token
  Parameter& moments_;  // (3): moving averages of the losses, of their squares and of the constant 1
  MeasureSet& measures_;
  const LayerSums::Range entropy_range_;
  const size_t entropy_loss_;
  LayerSums& sums_;
  MeasureSet& loss_measures_;
  const LayerSums::Range range_;  // the policy's terms, and the number of scored tokens
  const size_t policy_loss_, baseline_loss_;
};

}  // namespace

Member reinforce_router() {
  return member<Router, ReinforceRouter, Options>(
      "reinforce", "draws the experts in training and learns from the tokens' losses by policy gradients");
}

}  // namespace moe
