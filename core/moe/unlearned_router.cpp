#include "core/moe/unlearned_router.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"

namespace moe {

UnlearnedRouter::UnlearnedRouter(const std::string& where, const Setup& setup, int64_t k)
    : experts_(setup.experts), k_(k) {
  if (k_ > experts_) raise<UsageError>("{}: {} experts cannot be chosen from {}", where, k_, experts_);
}

void UnlearnedRouter::forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) {
  const int64_t tokens = x.dim(0);
  routing = {};
  routing.x = x;
  routing.logits = ctx.allocate_wide(Shape{tokens, experts_});
  routing.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
  routing.logsumexp = ctx.allocate_wide(Shape{tokens});
  routing.indices = ctx.allocate(Shape{tokens, k_}, DType::i32);
  routing.weights = ctx.allocate_wide(Shape{tokens, k_});
  fill_zero(ctx, routing.logits);
  choose(ctx, batch, routing);
}

}  // namespace moe
