// k experts drawn at random for every token in every step, with equal weights (Zuo et al., 2022, THOR, here without its
// consistency loss). A baseline for learned routers.
#include "core/moe/unlearned_router.h"
#include "core/ops/gating.h"
#include "core/ops/router_noise.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t k = 2;
  void fields(FieldVisitor& v) override { v.field("k", k, "experts per token", {1, 1024, "moe.experts"}); }
};

// Drop rate that drops every expert except the k of a token that must stay, which are those with the largest random
// numbers.
constexpr double kAll = 1 - 0x1p-32;

class RandomRouter : public UnlearnedRouter {
 public:
  RandomRouter(const Options& options, const Setup& setup)
      : UnlearnedRouter(options.where("k"), setup, options.k), stream_(setup.random_layer() * 8) {
    traits_.draws_by_place = true;
    require_own_k(setup, "router random draws a fixed number of experts");
  }

 private:
  void choose(Context& ctx, const TokenBatch&, Routing& routing) override {
    drop_experts(ctx, routing.logits, kAll, k(), ctx.random(RandomPurpose::router_noise, stream_), ctx.first_token, 1);
    gating_forward(ctx, routing.probabilities, routing.logsumexp, routing.indices, routing.weights, routing.logits, {});
  }

  const uint32_t stream_;
};

}  // namespace

Member random_router() {
  return member<Router, RandomRouter, Options>(
      "random", "k experts drawn at random for every token and step; nothing is learned");
}

}  // namespace moe
