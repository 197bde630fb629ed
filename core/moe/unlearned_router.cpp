#include "core/moe/unlearned_router.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"

namespace moe {

UnlearnedRouter::UnlearnedRouter(const std::string& where, const Setup& setup, int64_t k) : experts_(setup.experts) {
  traits_ = RouterTraits::constant(k, static_cast<double>(k));
  if (setup.moe.modality_bias) {
    raise<UsageError>("{}: the router {} has no logits that a bias could be added to; use false, or another router",
                      setup.moe.where("modality_bias"), setup.moe.router.kind());
  }
  if (k > experts_) raise<UsageError>("{}: cannot choose {} experts out of {}", where, k, experts_);
}

void UnlearnedRouter::route(Context& ctx, const TokenBatch& batch, Routing& routing) {
  const int64_t tokens = routing.x.dim(0);
  routing.logits = ctx.allocate_wide(Shape{tokens, experts_});
  routing.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
  routing.logsumexp = ctx.allocate_wide(Shape{tokens});
  routing.indices = ctx.allocate(Shape{tokens, k()}, DType::i32);
  routing.weights = ctx.allocate_wide(Shape{tokens, k()});
  fill_zero(ctx, routing.logits);
  choose(ctx, batch, routing);
}

}  // namespace moe
