#include "core/moe/router.h"

#include "core/base/error.h"
#include "core/base/integer.h"
#include "core/tensor/recomputation.h"

namespace moe {

Member topk_router();
Member noisy_topk_router();
Member switch_router();
Member temperature_router();
Member expert_choice_router();
Member cosine_router();
Member perturbed_cosine_router();
Member stable_router();
Member random_frozen_router();
Member sigmoid_bias_router();
Member gshard_router();
Member hyper_router();
Member sinkhorn_router();
Member hash_router();
Member relu_router();
Member hierarchical_router();
Member prompt_router();
Member random_router();
Member mlp_router();
Member uniform_router();
Member replay_router();
Member reinforce_router();
Member bayesian_router();

template <>
const Table<Member>& family<Router>() {
  static const Table<Member> table{"router",
                                   {
                                       topk_router(),
                                       noisy_topk_router(),
                                       switch_router(),
                                       temperature_router(),
                                       expert_choice_router(),
                                       cosine_router(),
                                       perturbed_cosine_router(),
                                       stable_router(),
                                       random_frozen_router(),
                                       sigmoid_bias_router(),
                                       gshard_router(),
                                       hyper_router(),
                                       sinkhorn_router(),
                                       hash_router(),
                                       relu_router(),
                                       hierarchical_router(),
                                       prompt_router(),
                                       mlp_router(),
                                       random_router(),
                                       uniform_router(),
                                       replay_router(),
                                       reinforce_router(),
                                       bayesian_router(),
                                   }};
  return table;
}

void Router::forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) {
  if (ctx.replays) {
    MOE_CHECK(routing.indices && routing.indices.dim(0) == x.dim(0),
              "a pass over {} tokens is run again without the choices of the first pass", x.dim(0));
    routing.x = input(ctx, x);
    return;
  }
  routing = {};
  routing.x = input(ctx, x);
  const KeepScope keep(ctx);
  route(ctx, batch, routing);
}

void Router::close_experts(ConstTensor closed) {
  if (closed)
    throw UsageError("moe.router: experts can only be closed for a router whose tokens choose experts by their logits");
}

void require_own_k(const BuildContext& context, const char* why) {
  if (context.moe.k_factor != 1) raise<UsageError>("moe.lifecycle: scale_k: {}", why);
}

void require_modalities(const BuildContext& context) {
  if (context.modalities == 1) {
    raise<UsageError>("{}: the samples of this task have one modality; remove the key or use task: pairs",
                      context.moe.where("modality_bias"));
  }
}

const char* name_of(Causality causality) {
  static constexpr const char* names[] = {"causal", "sequence", "batch"};
  return names[as_index(causality)];
}

}  // namespace moe
