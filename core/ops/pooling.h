// One row for each sequence out of those of its tokens.
#pragma once
#include "core/tensor/context.h"

namespace moe {

enum class Pooling {
  mean,         // over the tokens that are no padding; 0 of none
  class_token,  // the first token
  last,         // the last token that is no padding; 0 of none
};

// x (sequences * time, d), targets (sequences * time) i32: kIgnoreTarget marks padding -> pooled (sequences, d)
void pool_forward(Context& ctx, Tensor pooled, ConstTensor x, ConstTensor targets, Pooling pooling);
// d_pooled (sequences, d) -> d_x like x, overwritten
void pool_backward(Context& ctx, Tensor d_x, ConstTensor d_pooled, ConstTensor targets, Pooling pooling);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::pool_forward) pool_forward;
decltype(moe::pool_backward) pool_backward;
}  // namespace cuda

}  // namespace moe
