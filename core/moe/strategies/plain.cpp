// The usual sparse mixture of experts: route, dispatch, experts, combine (Shazeer et al., 2017).
#include "core/moe/routed_pass.h"
#include "core/ops/elementwise.h"

namespace moe {
namespace {

class PlainStrategy : public RoutedStrategy {
 public:
  PlainStrategy(const NoFields&, const Setup& setup) : RoutedStrategy(setup) {}

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    return pass_.forward(ctx, parts, router(), batch, x);
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    fill_zero(ctx, d_x);
    pass_.backward(ctx, parts, router(), batch, d_x, d_y);
  }

 private:
  RoutedPass pass_;
};

}  // namespace

Member plain_strategy() {
  return member<Strategy, PlainStrategy, NoFields>("plain",
                                                   "the usual sparse mixture: router, dispatch, experts, combine");
}

}  // namespace moe
