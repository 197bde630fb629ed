// Chooses experts by a fixed hash of the token id, a different one in every layer, with equal weights (Roller et al.,
// 2021). There are no trained parameters; logits are 0.
#include "core/moe/unlearned_router.h"
#include "core/ops/gating.h"
#include "core/ops/hash_choice.h"
#include "core/ops/initialise.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t k = 1, seed = 0;
  void fields(FieldVisitor& v) override {
    v.field("k", k, "experts per token", {1, 1024, "moe.experts"});
    v.field("seed", seed, "seed of the hash, independent of the run's seed", {0, 1 << 30});
  }
};

class HashRouter : public UnlearnedRouter {
 public:
  HashRouter(const Options& options, const Setup& setup)
      : UnlearnedRouter(options.where("k"), setup, options.k),
        key_{static_cast<uint64_t>(options.seed), RandomPurpose::router_noise, setup.random_layer(), 0} {
    traits_.fixed_experts = "hash: with another number of experts the hash would send tokens to unrelated experts";
    if (setup.vocab == 0) {
      raise<UsageError>("{}: hash needs token ids, but the tokens of this task's samples have none", options.key());
    }
  }

 private:
  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
    hash_choice(ctx, routing.indices, batch.ids, experts_, key_);
    fill_constant(ctx, routing.weights, 1 / static_cast<double>(k()));
  }

  const RandomKey key_;
};

}  // namespace

Member hash_router() {
  return member<Router, HashRouter, Options>("hash",
                                             "experts are chosen by a fixed hash of the token id; nothing is learned");
}

}  // namespace moe
