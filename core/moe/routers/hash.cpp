// Experts by a fixed hash of the token's id, different in every layer, all of the same weight (Roller et al., 2021).
// Nothing is learned; logits are 0.
#include "core/moe/router.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/hash_choice.h"
#include "core/ops/initialise.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t k = 1, seed = 0;
  void fields(FieldVisitor& v) override {
    v.field("k", k, "experts per token", {1, 1024});
    v.field("seed", seed, "of the hash; the run's seed does not matter", {0, 1 << 30});
  }
};

class HashRouter : public Router {
 public:
  HashRouter(const Options& options, const Setup& setup)
      : experts_(setup.experts),
        k_(options.k),
        key_{static_cast<uint64_t>(options.seed), RandomPurpose::router_noise, static_cast<uint32_t>(setup.layer), 0} {
    if (setup.vocab == 0) throw UsageError("moe.router: hash goes by token ids, and these samples' tokens have none");
    if (k_ > experts_) raise<UsageError>("moe.router.k: {} experts cannot be chosen from {}", k_, experts_);
  }
  int64_t k() const override { return k_; }

  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) override {
    const int64_t tokens = x.dim(0);
    routing = {};
    routing.x = x;
    routing.logits = ctx.allocate_wide(Shape{tokens, experts_});
    routing.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
    routing.logsumexp = ctx.allocate_wide(Shape{tokens});
    routing.indices = ctx.allocate(Shape{tokens, k_}, DType::i32);
    routing.weights = ctx.allocate_wide(Shape{tokens, k_});
    fill_zero(ctx, routing.logits);
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    hash_choice(ctx, routing.indices, batch.ids, experts_, key_);
    fill_constant(ctx, routing.weights, 1 / static_cast<double>(k_));
  }
  void backward(Context&, const TokenBatch&, Tensor, Tensor, const RoutingGradient&, const Routing&) override {}

 private:
  const int64_t experts_, k_;
  const RandomKey key_;
};

}  // namespace

Member hash_router() {
  return member<Router, HashRouter, Options>("hash", "a fixed hash of the token id; nothing is learned");
}

}  // namespace moe
