// The sparse mixture of experts as usual: route, dispatch, experts, combine (Shazeer et al., 2017).
#include "core/moe/sparse_pass.h"
#include "core/moe/strategy.h"
#include "core/ops/elementwise.h"

namespace moe {
namespace {

class PlainStrategy : public RoutedStrategy {
 public:
  PlainStrategy(const NoFields&, const Setup& setup) : RoutedStrategy(setup) {}

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    router().forward(ctx, batch, x, routing_);
    const Tensor y = pass_.forward(ctx, parts.dispatcher, parts.experts, x, routing_);
    if (ctx.observe) {
      parts.load.observe(ctx, routing_, batch.targets);
      parts.balance.observe(ctx, batch, routing_);
      parts.balance.observe_outputs(ctx, batch, routing_, pass_.outputs());
    }
    return y;
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    ScratchScope scratch(ctx);
    const RoutingGradient d_routing = allocate_gradient(scratch, routing_);
    fill_zero(ctx, d_x);
    pass_.backward(ctx, parts.dispatcher, parts.experts, d_x, d_routing, d_y, routing_, [&](Tensor d_rows) {
      parts.balance.backward_outputs(ctx, batch, d_rows, routing_, pass_.outputs());
    });
    const Tensor d_logits = scratch.allocate_wide(routing_.logits.shape);
    fill_zero(ctx, d_logits);
    parts.balance.backward(ctx, batch, d_logits, routing_, d_routing.weights);
    router().backward(ctx, batch, d_x, d_logits, d_routing, routing_);
  }

 private:
  Routing routing_;
  SparsePass pass_;
};

}  // namespace

Member plain_strategy() {
  return member<Strategy, PlainStrategy, NoFields>("plain", "router, dispatch, experts, combine");
}

}  // namespace moe
