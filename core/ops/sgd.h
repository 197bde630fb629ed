// Stochastic gradient descent in one pass over a buffer of parameters.
#pragma once
#include "core/tensor/context.h"

namespace moe {

struct SgdStep {
  double learning_rate = 0;
  double momentum = 0;        // decay of the running sum of gradients
  bool nesterov = false;      // move by gradient + momentum * new sum, rather than by the new sum
  double weight_decay = 0;    // decoupled: w -= learning_rate * weight_decay * w
  double gradient_scale = 1;  // gradients are multiplied by it: clipping
  bool clear_gradient = true;
};

// With g = gradient_scale * gradient and v the running sum (Sutskever et al., 2013, in PyTorch's form):
//   v <- momentum * v + g;  w <- (1 - learning_rate * weight_decay) * w - learning_rate * (nesterov ? g + momentum * v
//   : v)
// weight, sum (n) are updated in place; without a `sum` there is no momentum, and w moves by g. gradient (n) is set to
// zero if `clear_gradient`. bf16 weights come with a `master` (n) f32, which is updated; the weights are its rounded
// values. All other tensors are f32 then. Throws InternalError when sizes or types do not match.
void sgd(Context& ctx, Tensor weight, Tensor sum, Tensor gradient, const SgdStep& step, Tensor master = {});

namespace cuda {  // the CUDA implementations; their arguments have been checked
decltype(moe::sgd) sgd;
}  // namespace cuda

}  // namespace moe
