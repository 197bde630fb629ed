// Two levels of routing: a first router sends each token to some of the groups of experts, and each group has its own
// router (of the kind moe.router) that chooses among its experts. The weights of both levels are multiplied (Jordan and
// Jacobs, 1994, made sparse). Both levels have balance losses: `group_balance` on the choice of groups, moe.balance on
// the choice of experts.
#include <algorithm>

#include "core/moe/routed_pass.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/hierarchy.h"
#include "core/ops/softmax.h"
#include "core/tensor/recomputation.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t groups = 2;
  Choice<Router> router{"topk"};
  ChoiceList<BalanceLoss> balance{"switch", "z"};

  void fields(FieldVisitor& v) override {
    v.field("groups", groups, "number of groups of experts; their sizes differ by at most one", {1, 1 << 16});
    // A router's options contain no router, so there is no further nesting.
    v.choice("group_router", router,
             "Router that chooses a token's groups; the groups take the place of experts in its options.");
    v.choices("group_balance", balance, "Auxiliary losses on the choice of groups.");
  }
};

GroupChoice choice_of(const Routing& r) {
  return {.logits = r.logits, .logsumexp = r.logsumexp, .indices = r.indices, .weights = r.weights, .skip = r.skip};
}

class HierarchicalStrategy : public Strategy {
 public:
  HierarchicalStrategy(const Options& options, const Setup& setup)
      : experts_(setup.experts),
        group_router_(options.router.make(level_setup(setup, ".groups", 0, options.groups))),
        load_range_(setup.sums->reserve(LoadStats::num_sums(options.groups))),
        group_balance_(*setup.sums, options.balance,
                       {.experts = options.groups,
                        .d_model = setup.d_model(),
                        .router = options.router.kind(),
                        .run = setup.run,
                        .modalities = setup.modalities}),
        sums_(setup.sums),
        groups_(static_cast<size_t>(options.groups)) {
    if (options.groups > experts_) {
      raise<UsageError>("{}: {} groups of {} experts", options.where("groups"), options.groups, experts_);
    }
    if (group_balance_.sees_outputs()) {
      raise<UsageError>(
          "{}: a loss on outputs cannot be used here, because groups have no outputs; use it in moe.balance",
          options.where("group_balance"));
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      const int64_t index = static_cast<int64_t>(g);
      groups_[g].experts = share_of(experts_, options.groups, index);
      groups_[g].router =
          setup.moe.router.make(level_setup(setup, fmt::format(".group{}", g), index + 1, groups_[g].experts.count));
      slots_ = std::max(slots_, groups_[g].router->traits().k);
    }
    combine_traits();
  }

  Router& router() override { return *group_router_; }
  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    group_router_->forward(ctx, batch, x, first_);
    if (ctx.replays) {
      for (Group& group : groups_) group.router->forward(ctx, inside(batch, group), x, group.routing);
      routing_.x = x;
    } else {
      route_in_groups(ctx, batch, x);
    }
    return pass_.forward(ctx, parts, batch, x, routing_);
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    ScratchScope scratch(ctx);
    const RoutingGradient d_routing = allocate_gradient(scratch, routing_);
    const Tensor d_log_p = scratch.allocate_wide(routing_.logits.shape);
    fill_zero(ctx, d_x);
    pass_.backward(ctx, parts, batch, d_x, d_routing, d_log_p, d_y, routing_);

    const RoutingGradient d_first = allocate_gradient(scratch, first_);
    const Tensor d_group_log_p = scratch.allocate_wide(first_.logits.shape),
                 d_logits = scratch.allocate_wide(first_.logits.shape);
    for (const Tensor& tensor : {d_first.weights, d_group_log_p, d_logits}) fill_zero(ctx, tensor);
    if (d_first.skip) fill_zero(ctx, d_first.skip);
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      ScratchScope inner(ctx);
      const RoutingGradient d_inner = allocate_gradient(inner, group.routing);
      const Tensor d_inner_logits = inner.allocate_wide(group.routing.logits.shape);
      fill_zero(ctx, d_inner_logits);
      compose_group_backward(ctx, d_inner_logits, d_inner.weights, d_inner.skip, d_group_log_p, d_first.weights,
                             d_log_p, d_routing.weights, d_routing.skip, static_cast<int64_t>(g), group.experts.begin,
                             choice_of(first_), choice_of(group.routing));
      group.router->backward(ctx, inside(batch, group), d_x, d_inner_logits, d_inner, group.routing);
    }
    log_softmax_backward(ctx, d_logits, d_group_log_p, first_.logits, first_.logsumexp);
    group_balance_.backward(ctx, batch, d_logits, first_, d_first.weights);
    group_router_->backward(ctx, batch, d_x, d_logits, d_first, first_);
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    group_router_->after_step(ctx, group_load());
    for (const Group& group : groups_) {
      const auto first = static_cast<size_t>(group.experts.begin), n = static_cast<size_t>(group.experts.count);
      group.router->after_step(ctx, {.counts = load.counts.subspan(first, n),
                                     .importance = load.importance.subspan(first, n),
                                     .probability = load.probability.subspan(first, n),
                                     .dropped = load.dropped.subspan(first, n),
                                     .scalars = load.scalars});
    }
  }

  void close_experts(ConstTensor closed) override {
    if (closed)
      throw UsageError("moe.strategy: hierarchical cannot close experts, because a group could have none left");
  }

  const BalanceSet* own_balance() const override { return &group_balance_; }

 private:
  struct Group {
    Share experts;
    std::unique_ptr<Router> router;
    Routing routing;
    Tensor targets;  // (tokens) i32: kIgnoreTarget for tokens that are not routed to this group
  };

  // Routes within every group, and makes one routing over all experts of both levels.
  void route_in_groups(Context& ctx, const TokenBatch& batch, ConstTensor x) {
    group_balance_.begin(ctx);
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      {
        const KeepScope keep(ctx);
        group.targets = ctx.allocate(Shape{x.dim(0)}, DType::i32);
      }
      targets_in_group(ctx, group.targets, batch.targets, first_.indices, static_cast<int64_t>(g));
      group.router->forward(ctx, inside(batch, group), x, group.routing);
    }
    compose(ctx, x);
    if (ctx.observe) {
      group_load().observe(ctx, first_, batch);
      group_balance_.observe(ctx, batch, first_);
    }
  }

  void compose(Context& ctx, ConstTensor x) {
    const KeepScope keep(ctx);
    const int64_t tokens = x.dim(0);
    routing_ = {};
    routing_.x = x;
    routing_.logits = ctx.allocate_wide(Shape{tokens, experts_});
    routing_.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
    routing_.logsumexp = ctx.allocate_wide(Shape{tokens});
    routing_.indices = ctx.allocate(Shape{tokens, first_.indices.dim(1) * slots_}, DType::i32);
    routing_.weights = ctx.allocate_wide(routing_.indices.shape);
    for (size_t g = 0; g < groups_.size(); ++g) {
      const Group& group = groups_[g];
      if (group.routing.skip && !routing_.skip) {
        routing_.skip = ctx.allocate_wide(Shape{tokens});
        fill_zero(ctx, routing_.skip);
      }
      compose_group(ctx, routing_.logits, routing_.indices, routing_.weights, routing_.skip, static_cast<int64_t>(g),
                    group.experts.begin, choice_of(first_), choice_of(group.routing));
    }
    softmax_forward(ctx, routing_.probabilities, routing_.logsumexp, routing_.logits);
  }

  void combine_traits() {
    const RouterTraits &outer = group_router_->traits(), &inner = groups_[0].router->traits();
    static constexpr const char* kOwnRouters = "strategy hierarchical: its groups have their own routers";
    traits_.k = outer.k * slots_;
    traits_.final_k = outer.final_k * inner.final_k;
    traits_.mean_k = outer.mean_k;
    traits_.k_at = [outer = outer.k_at, inner = inner.k_at](uint64_t update) { return outer(update) * inner(update); };
    traits_.bounds_load = outer.bounds_load || inner.bounds_load;
    traits_.draws_by_place = outer.draws_by_place || inner.draws_by_place;
    traits_.needs_whole_step = outer.needs_whole_step || inner.needs_whole_step;
    traits_.causality = std::max(outer.causality, inner.causality);
    traits_.training_causality = std::max(outer.training_causality, inner.training_causality);
    traits_.unlike_copies = outer.unlike_copies;
    traits_.fixed_experts = traits_.fixed_places = kOwnRouters;
    traits_.directions = {nullptr, nullptr, false, kOwnRouters};
  }

  // The context for a router of one level, with separate parameters and random numbers.
  static BuildContext level_setup(const BuildContext& whole, const std::string& suffix, int64_t level,
                                  int64_t experts) {
    BuildContext setup = whole;
    setup.name += suffix;
    setup.level += static_cast<int>(level);
    setup.experts = experts;
    return setup;
  }

  static TokenBatch inside(const TokenBatch& batch, const Group& group) {
    TokenBatch inner = batch;
    inner.targets = group.targets;
    return inner;
  }

  LoadStats group_load() const { return LoadStats::view(sums_->of(load_range_), static_cast<int64_t>(groups_.size())); }

  int64_t experts_, slots_ = 0;  // slots per token and group
  std::unique_ptr<Router> group_router_;
  LayerSums::Range load_range_;
  BalanceSet group_balance_;
  LayerSums* sums_;
  std::vector<Group> groups_;
  Routing first_;    // over groups
  Routing routing_;  // over all experts; its logits are log-probabilities
  BalancedPass pass_;
};

}  // namespace

Member hierarchical_strategy() {
  return member<Strategy, HierarchicalStrategy, Options>(
      "hierarchical", "a router over groups of experts, then a separate router inside each group");
}

}  // namespace moe
