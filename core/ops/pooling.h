// Pools the token rows of each sequence into one row.
#pragma once
#include "core/tensor/context.h"

namespace moe {

enum class Pooling {
  mean,         // mean over the tokens without padding; 0 if there are none
  class_token,  // the first token
  last,         // the last token that is not padding; 0 if there is none
};

// x (sequences * time, d), targets (sequences * time) i32: kIgnoreTarget marks padding -> pooled (sequences, d)
void pool_forward(Context& ctx, Tensor pooled, ConstTensor x, ConstTensor targets, Pooling pooling);
// d_pooled (sequences, d) -> d_x like x, overwritten
void pool_backward(Context& ctx, Tensor d_x, ConstTensor d_pooled, ConstTensor targets, Pooling pooling);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::pool_forward) pool_forward;
decltype(moe::pool_backward) pool_backward;
}  // namespace cuda

}  // namespace moe
