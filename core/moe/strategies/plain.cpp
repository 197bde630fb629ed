// The sparse mixture of experts as usual: route, dispatch, experts, combine (Shazeer et al., 2017).
#include "core/moe/strategy.h"
#include "core/ops/elementwise.h"

namespace moe {
namespace {

class PlainStrategy : public Strategy {
 public:
  PlainStrategy(const NoFields&, const Setup&) {}

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    parts.router.forward(ctx, batch, x, saved_.routing);
    if (ctx.observe) {
      parts.load.observe(ctx, saved_.routing, batch.targets);
      parts.balance.observe(ctx, batch, saved_.routing);
    }
    const Tensor rows = parts.dispatcher.dispatch(ctx, x, saved_.routing.indices, saved_.plan);
    const Tensor out = parts.experts.forward(ctx, rows, saved_.plan.local_offsets, saved_.experts);
    return parts.dispatcher.combine(ctx, out, saved_.routing.weights, saved_.plan, saved_.returned);
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    ScratchScope scratch(ctx);
    const Routing& routing = saved_.routing;
    const Tensor d_weights = scratch.allocate(routing.weights.shape);
    const Tensor d_rows = scratch.allocate(saved_.experts.rows.shape);
    {
      ScratchScope inner(ctx);
      const Tensor d_out = inner.allocate(d_rows.shape);
      parts.dispatcher.combine_backward(ctx, d_out, d_weights, d_y, saved_.returned, routing.weights, saved_.plan);
      parts.experts.backward(ctx, d_rows, d_out, saved_.experts);
    }
    fill_zero(ctx, d_x);
    parts.dispatcher.dispatch_backward(ctx, d_x, d_rows, saved_.plan);
    const Tensor d_logits = scratch.allocate(routing.logits.shape);
    fill_zero(ctx, d_logits);
    parts.balance.backward(ctx, batch, d_logits, routing);
    parts.router.backward(ctx, d_x, d_logits, d_weights, routing);
  }

 private:
  struct {
    Routing routing;
    DispatchPlan plan;
    Experts::Saved experts;
    Tensor returned;  // expert outputs at their tokens' rank
  } saved_;
};

}  // namespace

Member plain_strategy() {
  return member<Strategy, PlainStrategy, NoFields>("plain", "router, dispatch, experts, combine");
}

}  // namespace moe
