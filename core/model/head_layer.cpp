#include "core/model/head_layer.h"

#include "core/ops/elementwise.h"

namespace moe {

Tensor HeadLayer::forward(Context& ctx, ConstTensor x) {
  saved_.x = x;
  saved_.y = ctx.allocate(x.shape);
  linear_.forward(ctx, saved_.y, x);
  tanh_forward(ctx, saved_.y, saved_.y);
  return saved_.y;
}

void HeadLayer::backward(Context& ctx, Tensor d_x, Tensor d_y) {
  tanh_backward(ctx, d_y, d_y, saved_.y);
  linear_.backward(ctx, d_x, d_y, saved_.x);
}

}  // namespace moe
