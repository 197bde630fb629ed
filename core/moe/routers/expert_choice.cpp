// Experts choose tokens: in each group of T tokens every expert takes the C = ceil(c T / N) tokens that are most likely
// its own, weighted by p (Zhou et al., 2022). Perfectly balanced, but whether a token is taken depends on the others of
// its group, later ones included.
#include "core/ops/expert_choice.h"
#include "core/moe/logit_router.h"
#include "core/moe/token_grouping.h"
#include "core/ops/gating.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions, GroupOptions {
  double capacity = 2;
  void fields(FieldVisitor& v) override {
    v.field("capacity", capacity, "experts per token on average", {1e-3, 1024});
    group_fields(v);
    logit_fields(v);
  }
};

// Weights are probabilities over all experts, not renormalised.
constexpr GatingOptions kWeights{false, false};

class ExpertChoiceRouter : public LogitRouter {
 public:
  ExpertChoiceRouter(const Options& options, const Setup& setup)
      : LogitRouter(setup, options, 1), capacity_(options.capacity * setup.moe.k_factor), group_(options.group) {
    if (capacity_ > static_cast<double>(experts_))
      raise<UsageError>("{}: {} experts per token of {}", options.where("capacity"), capacity_, experts_);
    traits_ = RouterTraits::constant(experts_, capacity_);
    traits_.bounds_load = true;
    traits_.causality = traits_.training_causality = causality_of(group_);
    add_weight(setup);
  }

  // Here experts choose, and one that is closed would take tokens at a weight of 0.
  void close_experts(ConstTensor closed) override { Router::close_experts(closed); }

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    allocate_choice(ctx, routing, experts_);
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    const TokenGroups groups = token_groups(group_, batch);
    const GroupRoom room = GroupRoom::share(capacity_ / static_cast<double>(experts_));
    expert_choice(ctx, routing.indices, routing.weights, routing.probabilities, groups, room);
    routing.most_per_expert = groups.count * room.of(groups.size);
  }

  void choose_backward(Context& ctx, const TokenBatch&, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    gating_backward(ctx, d_logits, d_routing.weights, routing.probabilities, routing.indices, routing.weights,
                    kWeights);
  }

  const double capacity_;
  const std::string group_;
};

}  // namespace

Member expert_choice_router() {
  return member<Router, ExpertChoiceRouter, Options>("expert_choice",
                                                     "every expert takes the tokens that suit it best; not causal");
}

}  // namespace moe
