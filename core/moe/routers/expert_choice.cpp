// Experts choose tokens: in each group of T tokens every expert takes the C = ceil(c T / N) tokens for which its
// probability p is largest, weighted by p (Zhou et al., 2022). The load is perfectly balanced, but whether a token is
// taken depends on the other tokens of its group, including later ones.
#include "core/ops/expert_choice.h"
#include "core/moe/logit_router.h"
#include "core/moe/token_grouping.h"
#include "core/ops/gating.h"

namespace moe {
namespace {

struct Options : Fields<Options>, LogitOptions, GroupOptions {
  double capacity = 2;
  void fields(FieldVisitor& v) override {
    v.field("capacity", capacity,
            "average number of experts per token; each expert takes capacity * tokens / experts tokens of a group",
            {1e-3, 1024});
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
      raise<UsageError>("{}: {} experts per token, but the layer has only {}", options.where("capacity"), capacity_,
                        experts_);
    traits_ = RouterTraits::constant(experts_, capacity_);
    traits_.bounds_load = true;
    traits_.causality = traits_.training_causality = causality_of(group_);
    add_weight(setup);
  }

  // Not supported: here experts choose tokens, and a closed expert would take tokens with a weight of 0.
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
  return member<Router, ExpertChoiceRouter, Options>(
      "expert_choice", "every expert takes the tokens with the highest scores for it; not causal");
}

}  // namespace moe
