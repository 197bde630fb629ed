#include "core/moe/router.h"

#include "core/ops/gating.h"

namespace moe {

Member topk_router();

template <>
const Table<Member>& family<Router>() {
  static const Table<Member> table{"router",
                                   {
                                       topk_router(),
                                   }};
  return table;
}

const char* name_of(Causality causality) {
  static constexpr const char* names[] = {"causal", "sequence", "batch"};
  return names[static_cast<size_t>(causality)];
}

SoftmaxRouter::SoftmaxRouter(const Setup& setup, const Softmax& softmax)
    : experts_(setup.experts), k_(softmax.k), softmax_(softmax) {
  if (k_ > experts_) raise<UsageError>("moe.router.k: {} experts cannot be chosen from {}", k_, experts_);
  if (k_ == 1 && (softmax.over_chosen || softmax.renormalise) && experts_ > 1) {
    raise<UsageError>(
        "moe.router: with k = 1 a renormalised weight is always 1 and the router gets no gradient; set softmax: all "
        "and "
        "renormalise: false");
  }
}

void SoftmaxRouter::forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) {
  const int64_t tokens = x.dim(0);
  routing = {};
  routing.x = x;
  logits_forward(ctx, batch, routing);
  routing.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
  routing.logsumexp = ctx.allocate_wide(Shape{tokens});
  routing.indices = ctx.allocate(Shape{tokens, k_}, DType::i32);
  routing.weights = ctx.allocate_wide(Shape{tokens, k_});
  gating_forward(ctx, routing.probabilities, routing.logsumexp, routing.indices, routing.weights, routing.logits,
                 {softmax_.over_chosen, softmax_.renormalise});
}

void SoftmaxRouter::backward(Context& ctx, const TokenBatch&, Tensor d_x, Tensor d_logits,
                             const RoutingGradient& d_routing, const Routing& routing) {
  gating_backward(ctx, d_logits, d_routing.weights, routing.probabilities, routing.indices, routing.weights,
                  {softmax_.over_chosen, softmax_.renormalise});
  logits_backward(ctx, d_x, d_logits, routing);
}

}  // namespace moe
