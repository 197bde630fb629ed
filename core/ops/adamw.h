// AdamW (Loshchilov and Hutter, 2019) in one pass over a buffer of parameters.
#pragma once
#include "core/tensor/context.h"

namespace moe {

struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;    // decoupled: w -= learning_rate * weight_decay * w
  double gradient_scale = 1;  // gradients are multiplied by it: clipping
  int64_t update = 1;         // counted from 1, for the bias corrections
  bool clear_gradient = true;
};

// weight, first_moment, second_moment (n) are updated in place; gradient (n) is set to zero if `clear_gradient`. bf16
// weights come with a `master` (n) f32, which is updated; the weights are its rounded values. All other tensors are f32
// then. With f32 or bf16 weights the first moment may be bf16: its value of this update is rounded to nearest after the
// weight has moved by it. Throws InternalError when sizes or types do not match.
void adamw(Context& ctx, Tensor weight, Tensor first_moment, Tensor second_moment, Tensor gradient,
           const AdamWStep& step, Tensor master = {});

namespace cuda {  // the CUDA implementations; their arguments have been checked
decltype(moe::adamw) adamw;
}  // namespace cuda

}  // namespace moe
