// The two most probable experts, weighted by a softmax over both. In training the second is kept with probability
// min(1, 2 g2), where g2 is its weight (Lepikhin et al., 2021).
#include "core/moe/logit_router.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/router_noise.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  void fields(FieldVisitor& v) override { logit_fields(v); }
};

class GShardRouter : public SoftmaxRouter {
 public:
  GShardRouter(const Options& options, const Setup& setup) : SoftmaxRouter(with_two(options, setup), options) {
    require_own_k(setup, "router gshard always chooses two experts");
    add_weight(setup);
  }

 private:
  // The number is no option of this router, so the base class's message could name no key.
  static const Setup& with_two(const Options& options, const Setup& setup) {
    if (setup.experts < 2)
      raise<UsageError>("{}: gshard chooses two experts, but the layer has only {} (moe.experts)", options.key(),
                        setup.experts);
    return setup;
  }

  enum { kIndices, kWeights };  // indices into Routing::extra: both choices, before the drop

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    SoftmaxRouter::choose(ctx, batch, routing);
    if (!ctx.training) return;
    routing.extra[kIndices] = ctx.allocate(routing.indices.shape, DType::i32);
    routing.extra[kWeights] = ctx.allocate_wide(routing.weights.shape);
    copy(ctx, routing.extra[kIndices], routing.indices);
    copy(ctx, routing.extra[kWeights], routing.weights);
    drop_second(ctx, routing.indices, routing.weights, noise_key(ctx, 0), ctx.first_token);
  }

  // The first expert's weight depends on the second's logit even if the second was dropped.
  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override {
    Routing both = routing;
    if (routing.extra[kIndices]) {
      both.indices = routing.extra[kIndices];
      both.weights = routing.extra[kWeights];
    }
    SoftmaxRouter::choose_backward(ctx, batch, d_logits, d_routing, both);
  }
};

}  // namespace

Member gshard_router() {
  return member<Router, GShardRouter, Options>(
      "gshard",
      "the two most probable experts; in training the second is kept with a probability that grows with its weight");
}

}  // namespace moe
