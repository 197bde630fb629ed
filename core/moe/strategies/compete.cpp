// CompeteSMoE: in some updates the experts compete for each token by the size of their response, and the router learns
// to predict the winners. In other updates, and always at evaluation, the router chooses. Version 1: Pham et al., 2024
// (arXiv 2402.02526). Version 2: Nguyen et al., 2025 (arXiv 2505.13380).
#include <cmath>

#include "core/moe/competition.h"
#include "core/moe/competition_steps.h"
#include "core/moe/routed_pass.h"
#include "core/moe/strategy.h"
#include "core/nn/now.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/softmax.h"
#include "core/tensor/recomputation.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t version = 1;
  int64_t k = 0;
  std::string score = "norm";
  std::string weights = "softmax";
  std::string forward = "competition";
  std::string target = "chosen";
  bool detach = true;
  ScheduleField router_loss{0.05, {0, 1e6}};
  ScheduleField chosen_loss{0, {0, 1e6}};
  ScheduleField diversity{0, {0, 1e6}};
  std::string balance_on = "router";
  ScheduleField balance_scale{1, {0, 1e6}};
  ScheduleField probability{0.07, {0, 1}};
  int64_t draw_every = 1;
  int64_t max_layers = 0;
  Duration warmup = Duration::updates(0);

  // Sets the defaults of the version. Keys that are given explicitly override them.
  void take_defaults_of(int64_t which) {
    const bool second = which == 2;
    version = which;
    score = second ? "softplus" : "norm";
    weights = second ? "share" : "softmax";
    target = second ? "all" : "chosen";
    router_loss = second ? 0.001 : 0.05;
    chosen_loss = second ? 0.2 : 0;
    diversity = second ? 0.005 : 0;
    balance_on = second ? "competition" : "router";
    balance_scale = second ? 0.5 : 1;
    max_layers = second ? 3 : 0;
  }

  void fields(FieldVisitor& v) override {
    const int64_t before = version;
    v.field("version", version, "version of the method, 1 or 2; sets the defaults of the keys below", {1, 2});
    if (version != before) take_defaults_of(version);
    v.field("k", k, "number of winners per token; 0 = the router's k at the end of the run", {0, 1024, "moe.experts"});
    v.field("score", score, "an expert's response to a token: the norm of its output, or its mean softplus",
            {"norm", "softplus"});
    v.field("weights", weights,
            "weights of the winners' outputs: softmax = a softmax of their scores, share = each score over the "
            "winners' sum",
            {"softmax", "share"});
    v.field("forward", forward, "whether the competition or the router chooses the experts in a competing update",
            {"competition", "router"});
    v.field(
        "target", target,
        "target of the router's loss: chosen = the winners' weights and 0 elsewhere, all = the softmax of all scores",
        {"chosen", "all"});
    v.field("detach", detach, "stop the gradient of the router's loss from reaching the experts");
    v.schedule("router_loss", router_loss, "Coefficient of the router's mean squared distance to the target.");
    v.schedule("chosen_loss", chosen_loss,
               "Weight, in the router's loss, of the mean squared distance over the winners alone.");
    v.schedule("diversity", diversity,
               "Coefficient of the diversity loss, which is the mean cosine between the winners' outputs.");
    v.field("balance_on", balance_on,
            "whether the balance losses of a competing update apply to the router's or to the competition's choices",
            {"router", "competition"});
    v.schedule("balance_scale", balance_scale, "Factor on the balance losses' coefficients in a competing update.");
    v.schedule("probability", probability, "Probability that a layer competes in an update.");
    v.field("draw_every", draw_every, "number of updates for which one draw holds", {1, 1'000'000});
    v.field("max_layers", max_layers,
            "maximum number of layers that compete in one update, further ones move to another update; 0 = no limit",
            {0, 1 << 20});
    v.field("warmup", warmup, "length of the initial phase without competition, in which only the router chooses");
  }
};

class CompeteStrategy : public RoutedStrategy {
 public:
  CompeteStrategy(const Options& options, const Setup& setup)
      : RoutedStrategy(setup),
        options_(options),
        experts_(setup.experts),
        k_(options.k > 0 ? options.k : static_cast<int64_t>(std::ceil(router().traits().final_k))),
        by_share_(options.weights == "share"),
        steps_({.probability = options.probability.make(setup.run),
                .draw_every = options.draw_every,
                .max_layers = options.max_layers,
                .first_update = to_updates(options.warmup, setup.run),
                .layer = setup.moe_layer,
                .layers = setup.moe_layers}),
        response_(options.score == "norm" ? Response::norm : Response::softplus),
        competition_(experts_, k_, response_),
        measures_(setup.measures),
        competing_figure_(setup.measures->add_figure("competing")),
        overlap_figure_(setup.measures->add_figure("topk_overlap")),
        router_loss_(setup.measures->add_loss("router_loss", options.router_loss.make(setup.run))),
        diversity_(setup.measures->add_loss("diversity", options.diversity.make(setup.run))),
        chosen_loss_(options.chosen_loss.make(setup.run)),
        balance_scale_(options.balance_scale.make(setup.run)) {
    traits_.needs_outputs = true;
    if (k_ > experts_)
      raise<UsageError>("{}: {} winners per token, but the layer has only {} experts", options.where("k"), k_,
                        experts_);
    for (const Choice<BalanceLoss>& loss : setup.moe.balance.items()) {
      balanced_ |= loss.make(BalanceLoss::Setup{experts_, setup.d_model(), setup.moe.router.kind(), setup.run})
                       ->coefficient()
                       .largest() > 0;
    }
  }

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    drops_ = parts.capacity.limits() || parts.dropout.now(ctx) > 0;
    competing_ = ctx.training && (ctx.planning || steps_.competes(ctx.seed, ctx.step));
    router().forward(ctx, batch, x, routing_);
    const auto tokens = static_cast<double>(batch.scored());
    if (ctx.training) measures().observe(ctx, competing_figure_, competing_ ? tokens : 0, tokens);
    if (competing_ || ctx.diagnose) compete(ctx, parts, batch, x);
    const Routing& used = chosen_by_competition() ? outcome_ : routing_;
    const Routing& balanced = balance_on_competition() ? outcome_ : routing_;
    parts.balance.set_scale(competing_ ? now(balance_scale_, ctx) : 1);
    const Tensor y = balanced_pass_.forward(ctx, parts, batch, x, used, balanced);
    if (chosen_by_competition() && diversity() > 0) {
      measures().observe_sum(
          ctx, diversity_,
          [&](Tensor sum) {
            output_similarity_sum(ctx, sum, pass().returned(), pass().plan().position, batch.targets);
          },
          tokens);
    }
    return y;
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    ScratchScope scratch(ctx);
    const RoutingGradient d_routing = allocate_gradient(scratch, routing_);
    const Tensor d_logits = scratch.allocate_wide(routing_.logits.shape);
    fill_zero(ctx, d_x);
    if (competing_) {
      fill_zero(ctx, d_logits);
      backward_of_competition(ctx, parts, batch, d_x, d_logits, d_routing, d_y);
    } else {
      balanced_pass_.backward(ctx, parts, batch, d_x, d_routing, d_logits, d_y, routing_);
    }
    TokenBatch judged = batch;  // by losses that the router's choice has caused
    if (chosen_by_competition()) judged.losses = {};
    router().backward(ctx, judged, d_x, d_logits, d_routing, routing_);
  }

 private:
  const MeasureSet& measures() const { return *measures_; }
  const SparsePass& pass() const { return balanced_pass_.pass(); }
  double router_loss() const { return measures().coefficient(router_loss_); }
  double diversity() const { return measures().coefficient(diversity_); }
  bool chosen_by_competition() const { return competing_ && options_.forward == "competition"; }
  bool balance_on_competition() const { return competing_ && options_.balance_on == "competition"; }
  // Whether a gradient reaches the scores of experts that were not chosen or whose output was removed by a capacity or
  // by dropout. If so, backward runs through all experts.
  bool gradient_of_all_scores() const {
    return (balance_on_competition() && balanced_) || (!options_.detach && router_loss() > 0) ||
           !chosen_by_competition() || drops_;
  }
  bool any_gradient_of_scores() const {
    return chosen_by_competition() || (balance_on_competition() && balanced_) ||
           (!options_.detach && router_loss() > 0);
  }

  // Computes the scores, the winners and their weights, and the router's target.
  void compete(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) {
    outcome_.x = x;
    if (ctx.replays) return;
    const int64_t tokens = x.dim(0);
    const KeepScope keep(ctx);
    outcome_ = {};
    outcome_.x = x;
    outcome_.logits = ctx.allocate_wide(Shape{tokens, experts_});
    competition_.forward(ctx, parts, x, outcome_.logits);
    outcome_.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
    outcome_.logsumexp = ctx.allocate_wide(Shape{tokens});
    outcome_.indices = ctx.allocate(Shape{tokens, k_}, DType::i32);
    outcome_.weights = ctx.allocate_wide(Shape{tokens, k_});
    gating_forward(ctx, outcome_.probabilities, outcome_.logsumexp, outcome_.indices, outcome_.weights, outcome_.logits,
                   {});
    if (by_share_) share_weights_forward(ctx, outcome_.weights, outcome_.logits, outcome_.indices);
    const auto count = static_cast<double>(batch.scored());
    measures().observe_sum(
        ctx, overlap_figure_,
        [&](Tensor sum) { topk_overlap_sum(ctx, sum, routing_.indices, outcome_.indices, batch.targets); }, count);
    if (!competing_) return;
    target_ = outcome_.probabilities;
    if (options_.target == "chosen") {
      target_ = ctx.allocate_wide(Shape{tokens, experts_});
      spread_chosen(ctx, target_, outcome_.weights, outcome_.indices);
    }
    measures().observe_sum(
        ctx, router_loss_,
        [&](Tensor sum) {
          distillation_sum(ctx, sum, routing_.probabilities, target_, outcome_.indices, now(chosen_loss_, ctx),
                           batch.targets);
        },
        count);
  }

  void backward_of_competition(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, Tensor d_logits,
                               const RoutingGradient& d_routing, ConstTensor d_y) {
    ScratchScope scratch(ctx);
    const Tensor d_scores = scratch.allocate_wide(outcome_.logits.shape);
    const Tensor d_weights = scratch.allocate_wide(outcome_.weights.shape);
    fill_zero(ctx, d_scores);
    fill_zero(ctx, d_weights);

    if (balance_on_competition()) parts.balance.backward(ctx, batch, d_scores, outcome_, d_weights);
    imitate_backward(ctx, batch, d_logits, d_scores, d_weights);
    if (chosen_by_competition()) {
      fill_zero(ctx, d_routing.weights);
      if (d_routing.skip) fill_zero(ctx, d_routing.skip);
      const Tensor d_pass = scratch.allocate_wide(outcome_.weights.shape);
      // The pass needs the scores' gradient, and that needs the weights' gradient from the pass. The callback is called
      // when the weights' gradient is available.
      balanced_pass_.backward(ctx, parts, batch, d_x, {d_pass, {}}, d_y, outcome_, [&](Tensor d_returned) {
        add(ctx, d_weights, d_weights, d_pass);
        weights_backward(ctx, d_scores, d_weights);
        if (!gradient_of_all_scores()) responses_of_chosen_backward(ctx, d_returned, d_scores);
        if (diversity() > 0) {
          output_similarity_backward(ctx, d_returned, pass().returned(), pass().plan().position,
                                     diversity() / static_cast<double>(batch.global_tokens), batch.targets);
        }
      });
    } else {
      balanced_pass_.backward(ctx, parts, batch, d_x, d_routing, d_y, routing_);
      weights_backward(ctx, d_scores, d_weights);
    }
    if (!balance_on_competition()) parts.balance.backward(ctx, batch, d_logits, routing_, d_routing.weights);
    if (gradient_of_all_scores() && any_gradient_of_scores()) {
      competition_.backward(ctx, parts, d_x, outcome_.x, d_scores);
    }
  }

  // Backward of the router's loss, including the gradient with respect to the target unless that is detached.
  void imitate_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, Tensor d_scores, Tensor d_weights) {
    if (router_loss() == 0) return;
    ScratchScope scratch(ctx);
    Tensor d_target;
    if (!options_.detach) {
      d_target = scratch.allocate_wide(target_.shape);
      fill_zero(ctx, d_target);
    }
    distillation_backward(ctx, d_logits, d_target, routing_.probabilities, target_, outcome_.indices,
                          now(chosen_loss_, ctx), router_loss() / static_cast<double>(batch.global_tokens),
                          batch.targets);
    if (options_.detach) return;
    if (options_.target == "all") {
      softmax_backward(ctx, d_scores, d_target, outcome_.probabilities);
    } else {
      gather_chosen(ctx, d_weights, d_target, outcome_.indices);
    }
  }

  void weights_backward(Context& ctx, Tensor d_scores, ConstTensor d_weights) const {
    if (by_share_) {
      share_weights_backward(ctx, d_scores, d_weights, outcome_.logits, outcome_.weights, outcome_.indices);
    } else {
      gating_backward(ctx, d_scores, d_weights, outcome_.probabilities, outcome_.indices, outcome_.weights, {});
    }
  }

  // For the case that only scores of chosen experts have a gradient: their outputs are available from the pass.
  void responses_of_chosen_backward(Context& ctx, Tensor d_returned, ConstTensor d_scores) const {
    ScratchScope scratch(ctx);
    const int64_t rows = d_returned.dim(0), slots = outcome_.indices.size();
    const Tensor d_chosen = scratch.allocate_wide(outcome_.indices.shape),
                 d_rows = scratch.allocate_wide(Shape{rows, 1}), row_scores = scratch.allocate_wide(Shape{rows, 1});
    gather_chosen(ctx, d_chosen, d_scores, outcome_.indices);
    gather_rows(ctx, d_rows, d_chosen.reshape({slots, 1}), pass().plan().source.slice(0, rows));
    response_forward(ctx, row_scores, pass().returned(), response_);
    response_backward(ctx, d_returned, d_rows, row_scores, pass().returned(), response_);
  }

  Options options_;
  int64_t experts_, k_;
  bool by_share_, balanced_ = false;
  CompetitionSteps steps_;
  Response response_;
  Competition competition_;
  MeasureSet* measures_;
  size_t competing_figure_, overlap_figure_, router_loss_, diversity_;
  Scheduled chosen_loss_, balance_scale_;
  bool competing_ = false, drops_ = false;
  Routing routing_;  // the router's
  Routing outcome_;  // the competition's; its `logits` are the scores
  Tensor target_;    // (tokens, experts): target of the router's probabilities
  BalancedPass balanced_pass_;
};

}  // namespace

Member compete_strategy() {
  return member<Strategy, CompeteStrategy, Options>(
      "compete",
      "in some updates experts compete by their response, and the router learns to predict the winners (CompeteSMoE)");
}

}  // namespace moe
