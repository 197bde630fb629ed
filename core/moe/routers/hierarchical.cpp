// Two levels: a router over groups of neighbouring experts, and a router within each group. A token goes to the k best
// experts of each of its best groups. p = p(group) p(expert | group), which is the softmax of z = a_group + b -
// (logsumexp of b over the group) (Jordan and Jacobs, 1994; Shazeer et al., 2017, appendix B).
#include "core/moe/logit_router.h"
#include "core/ops/gating.h"
#include "core/ops/group_gating.h"
#include "core/ops/matmul.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  int64_t groups = 2, chosen_groups = 1, experts_per_group = 2;
  Options() {
    softmax = "all";
    renormalise = false;
  }
  void fields(FieldVisitor& v) override {
    v.field("groups", groups, "number of groups of neighbouring experts; their sizes differ by at most one",
            {1, 1 << 16});
    v.field("chosen_groups", chosen_groups, "number of groups that a token goes to", {1, 1024});
    v.field("experts_per_group", experts_per_group, "number of experts that a token goes to in each chosen group",
            {1, 1024});
    weight_fields(v);
  }
};

class HierarchicalRouter : public LogitRouter {
 public:
  HierarchicalRouter(const Options& o, const Setup& setup)
      : LogitRouter(setup, o, setup.experts),
        groups_(o.groups),
        chosen_(o.chosen_groups),
        each_(o.experts_per_group),
        weights_{o.softmax == "chosen", o.renormalise},
        group_weight_(setup.add({.name = setup.name + ".router.group.weight",
                                 .shape = Shape{o.groups, setup.d_model()},
                                 .group = ParameterGroup::shared,
                                 .initialisation = {Initialisation::Kind::normal, setup.init_std}})) {
    if (chosen_ > groups_ || groups_ > experts_ || each_ > experts_ / groups_) {
      raise<UsageError>("{}: cannot choose {} experts in each of {} of {} groups from {} experts", o.key(), each_,
                        chosen_, groups_, experts_);
    }
    traits_ = RouterTraits::constant(chosen_ * each_, static_cast<double>(chosen_ * each_));
    traits_.fixed_experts = "hierarchical: its groups consist of neighbouring experts";
    if (drops_experts())
      raise<UsageError>("{}: hierarchical cannot drop experts, because it chooses groups first; set it to 0",
                        o.expert_dropout.place().to_string());
    const bool renormalised = weights_.softmax_over_chosen || weights_.renormalise;
    if (setup.trains) require_gradient(o.key(), k(), experts_, renormalised);
    if (setup.trains && renormalised && chosen_ == 1 && groups_ > 1) {
      raise<UsageError>(
          "{}: with one chosen group, renormalised weights do not depend on the router of the groups, so it gets no "
          "gradient; set softmax: all and renormalise: false",
          o.key());
    }
    add_weight(setup);
    traits_.directions = {nullptr, nullptr, false, "it chooses groups first, by a separate matrix"};
  }

  // Not supported: groups are chosen first, and all experts of a chosen group could be closed.
  void close_experts(ConstTensor closed) override { Router::close_experts(closed); }

 private:
  enum { kOuter, kInner };  // indices into Routing::extra: logits of the groups, and of the experts within them

  void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    LogitRouter::logits_forward(ctx, batch, routing);
    routing.extra[kInner] = routing.logits;
    routing.extra[kOuter] = ctx.allocate_wide(Shape{routing.x.dim(0), groups_});
    linear_forward(ctx, routing.extra[kOuter], routing.x, group_weight_.value);
    routing.logits = ctx.allocate_wide(routing.logits.shape);
    group_logits_forward(ctx, routing.logits, routing.extra[kOuter], routing.extra[kInner]);
  }
  void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Tensor d_outer = scratch.allocate_wide(routing.extra[kOuter].shape),
                 d_inner = scratch.allocate_wide(routing.extra[kInner].shape);
    group_logits_backward(ctx, d_outer, d_inner, d_logits, routing.extra[kInner]);
    LogitRouter::logits_backward(ctx, batch, d_x, d_inner, routing);
    linear_backward_weight(ctx, group_weight_.gradient, d_outer, routing.x);
    linear_backward_input(ctx, d_x, d_outer, group_weight_.value, true);
  }

  void choose(Context& ctx, const TokenBatch&, Routing& routing) override {
    allocate_choice(ctx, routing, k());
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    ScratchScope scratch(ctx);
    const Tensor chosen = scratch.allocate(Shape{routing.x.dim(0), chosen_}, DType::i32);
    select_top_k(ctx, chosen, routing.extra[kOuter], chosen_);
    select_within_groups(ctx, routing.indices, chosen, routing.logits, groups_, each_);
    chosen_weights(ctx, routing.weights, routing.probabilities, routing.indices, weights_);
  }
  void choose_backward(Context& ctx, const TokenBatch&, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    gating_backward(ctx, d_logits, d_routing.weights, routing.probabilities, routing.indices, routing.weights,
                    weights_);
  }

  const int64_t groups_, chosen_, each_;
  const GatingOptions weights_;
  Parameter& group_weight_;  // (groups, d_model)
};

}  // namespace

Member hierarchical_router() {
  return member<Router, HierarchicalRouter, Options>("hierarchical",
                                                     "chooses groups of experts first, then experts within them");
}

}  // namespace moe
