// Chooses every expert whose logit is positive and weights it by the logit: w = relu(W x). An L1 loss controls their
// number: after each step with more experts per token than wanted its coefficient l1 is multiplied by a factor, with
// fewer it is divided by it (Wang et al., 2025, ReMoE). With `form: source`, as in the authors' code, the loss also
// balances: l1 N / (k T^2) sum_i n_i S_i over T tokens, where expert i has n_i tokens (no gradient) and its weights sum
// to S_i; the number is the mean over all layers. With `form: ours` it is l1 mean_t sum_i w_i, and each layer has its
// own.
#include <algorithm>
#include <functional>

#include "comm/communicator.h"
#include "core/base/integer.h"
#include "core/moe/logit_router.h"
#include "core/ops/gating.h"
#include "core/ops/relu_gating.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions {
  ScheduleField k{2, {1e-3, 1 << 16, "moe.experts"}};
  std::string form = "source";
  double l1 = 1e-8, factor = 1.2;
  void fields(FieldVisitor& v) override {
    v.schedule("k", k, "Target for the average number of experts per token.");
    v.field(
        "form", form,
        "source = the L1 loss weights each expert by its load, and all layers adjust its coefficient together, as in "
        "the authors' code; ours = a plain L1 loss that each layer adjusts alone",
        {"source", "ours"});
    v.field("l1", l1, "initial coefficient of the L1 loss", {1e-12, 1e3});
    v.field("factor", factor, "factor by which the coefficient is multiplied or divided after each step", {1, 10});
    logit_fields(v);
  }
};

// Bounds of the coefficient: it must not overflow if the router does not react to it.
constexpr double kLeast = 1e-12, kMost = 1e3;

// The loss on the weights of the chosen experts.
class L1Loss {
 public:
  virtual ~L1Loss() = default;
  // Adds a micro-batch's tokens to the measure `router_l1`.
  virtual void observe(Context& ctx, const TokenBatch& batch, const Routing& routing) const = 0;
  // Adds to d_logits (tokens, experts) the gradients of the loss and of the weights, d_weights (tokens, experts).
  virtual void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, ConstTensor d_weights,
                        const Routing& routing) = 0;
};

class PlainL1 : public L1Loss {
 public:
  PlainL1(const Router::Setup& setup, const Parameter& coefficient)
      : coefficient_(coefficient),
        measures_(*setup.measures),
        loss_(measures_.add_loss("router_l1", ScheduleField(1).make(setup.run))) {}

  // Tokens without an expert count as 0 in the loss's mean, so the divisor is known before any sum over ranks and
  // micro-batches.
  void observe(Context& ctx, const TokenBatch& batch, const Routing& routing) const override {
    measures_.observe_sum(
        ctx, loss_,
        [&](Tensor sum) { scaled_weight_sum(ctx, sum, routing.weights, batch.targets, coefficient_.value); },
        static_cast<double>(batch.scored()));
  }
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, ConstTensor d_weights,
                const Routing& routing) override {
    gradient_.assign(as_index(routing.indices.dim(1)), 1 / static_cast<double>(batch.global_tokens));
    relu_gating_backward(ctx, d_logits, d_weights, routing.indices, batch.targets, coefficient_.value,
                         as_tensor(gradient_));
  }

 private:
  const Parameter& coefficient_;
  std::vector<double> gradient_;
  MeasureSet& measures_;
  size_t loss_;
};

// The coefficient stays on the device: reading it would make the host wait in every layer.
class BalancedL1 : public L1Loss {
 public:
  BalancedL1(const Router::Setup& setup, const Parameter& coefficient, std::function<double(uint64_t update)> k)
      : experts_(static_cast<size_t>(setup.experts)),
        coefficient_(coefficient),
        k_(std::move(k)),
        sums_(*setup.sums),
        range_(sums_.reserve(2 * experts_ + 3)),
        gradient_(experts_) {
    setup.measures->add_loss("router_l1", ScheduleField(1).make(setup.run), range_,
                             [n = experts_](std::span<const double> sums) {
                               return value({sums, n});
                             });
  }

  void observe(Context& ctx, const TokenBatch& batch, const Routing& routing) const override {
    if (!ctx.observe) return;
    const Sums<double> sums{sums_.of(range_), experts_};
    assignment_sums(ctx, as_tensor(sums.counts()), as_tensor(sums.weights()), routing.indices, routing.weights,
                    batch.targets);
    token_sum(ctx, as_tensor(sums.tokens()), batch.targets);
    scaled_weight_sum(ctx, as_tensor(sums.scaled()), routing.weights, batch.targets, coefficient_.value);
    if (!ctx.planning) sums.shares()[0] += static_cast<double>(batch.scored()) * share(ctx);
  }
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, ConstTensor d_weights,
                const Routing& routing) override {
    const Sums<double> sums{sums_.of(range_), experts_};
    const double tokens = sums.tokens()[0], factor = tokens > 0 ? share(ctx) / (tokens * tokens) : 0;
    for (size_t i = 0; i < experts_; ++i) gradient_[i] = factor * sums.counts()[i];
    relu_gating_backward(ctx, d_logits, d_weights, routing.indices, batch.targets, coefficient_.value,
                         as_tensor(gradient_));
  }

 private:
  template <class T>
  struct Sums {
    std::span<T> all;
    size_t n;
    std::span<T> counts() const { return all.first(n); }               // tokens per expert
    std::span<T> weights() const { return all.subspan(n, n); }         // weights per expert
    std::span<T> tokens() const { return all.subspan(2 * n, 1); }      // number of tokens
    std::span<T> scaled() const { return all.subspan(2 * n + 1, 1); }  // all weights times l1
    std::span<T> shares() const { return all.subspan(2 * n + 2, 1); }  // tokens times share()
  };

  // N / k
  double share(const Context& ctx) const { return static_cast<double>(experts_) / k_(ctx.step); }
  static std::optional<double> value(const Sums<const double>& sums) {
    const double tokens = sums.tokens()[0];
    if (tokens == 0) return std::nullopt;
    double dot = 0, all = 0;
    for (size_t i = 0; i < sums.n; ++i) {
      dot += sums.counts()[i] * sums.weights()[i];
      all += sums.weights()[i];
    }
    return all == 0 ? 0 : sums.scaled()[0] / all * sums.shares()[0] / tokens * dot / (tokens * tokens);
  }

  const size_t experts_;
  const Parameter& coefficient_;
  const std::function<double(uint64_t update)> k_;
  LayerSums& sums_;
  LayerSums::Range range_;
  std::vector<double> gradient_;
};

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
        measures_(*setup.measures) {
    traits_.k = experts_;
    traits_.k_at = [wanted = wanted_, factor = k_factor_](uint64_t update) { return factor * wanted.at(update); };
    traits_.final_k = traits_.mean_k =
        traits_.k_at(static_cast<uint64_t>(std::max<int64_t>(setup.run.total_updates, 1) - 1));
    traits_.shares_target = traits_.needs_whole_step = options.form == "source";
    if (options.form == "source") {
      loss_ = std::make_unique<BalancedL1>(setup, coefficient_, traits_.k_at);
    } else {
      loss_ = std::make_unique<PlainL1>(setup, coefficient_);
    }
    experts_figure_ = measures_.add_figure("experts_per_token");
    // Weights are logits: two copies with half the logit each add up to the original expert's output.
    add_weight(setup, ParameterGroup::shared, PerExpert::divided);
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    if (load.tokens() == 0) return;
    const double mean = load.shared_experts_per_token.value_or(load.assignments() / load.tokens()),
                 wanted = traits_.k_at(ctx.step);
    if (mean == wanted) return;
    scale_within(ctx, coefficient_.value, mean > wanted ? factor_ : 1 / factor_, kLeast, kMost);
  }

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    allocate_choice(ctx, routing, experts_);
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    relu_gating_forward(ctx, routing.indices, routing.weights, routing.logits);
    loss_->observe(ctx, batch, routing);
    measures_.observe_sum(
        ctx, experts_figure_, [&](Tensor sum) { count_assignments(ctx, sum, routing.indices, batch.targets); },
        static_cast<double>(batch.scored()));
  }

  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    loss_->backward(ctx, batch, d_logits, d_routing.weights, routing);
  }

  const Scheduled wanted_;
  const double k_factor_, factor_;
  Parameter& coefficient_;  // (1)
  MeasureSet& measures_;
  std::unique_ptr<L1Loss> loss_;
  size_t experts_figure_ = 0;
};

}  // namespace

Member relu_router() {
  return member<Router, ReluRouter, Options>(
      "relu", "every expert with a positive logit; an adaptive L1 loss controls their number");
}

}  // namespace moe
